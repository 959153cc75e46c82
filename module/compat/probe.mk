# SPDX-License-Identifier: GPL-2.0-only
#
# Included by a Kbuild file after its list $(probed) of objects: has probed.h in $(obj) say
# which of questions, in the Kbuild file's compat/, the kernel's headers answer. kbuild asks
# again when the questions, the compiler's flags or a header have changed.

quiet_cmd_probe = PROBE   $@
      cmd_probe = bash $(src)/compat/probe $(src)/compat/questions $@ $(CC) $(c_flags)

# To compile as for a module, not for the kernel's image.
$(obj)/probed.h: part-of-module := y
$(obj)/probed.h: $(src)/compat/questions $(src)/compat/probe FORCE
	$(call if_changed_dep,probe)
targets += probed.h
clean-files += probed.h

$(addprefix $(obj)/,$(probed)): $(obj)/probed.h
ccflags-y += -I$(obj)
