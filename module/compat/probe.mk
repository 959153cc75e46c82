# SPDX-License-Identifier: GPL-2.0-only
#
# A Kbuild file includes this file after it has set $(probed), a list of its objects. Before
# kbuild compiles these objects, it runs compat/probe, which writes $(obj)/probed.h: that
# has #define HAVE_NAME for each line of compat/questions that compiles with the kernel's
# headers. kbuild runs compat/probe again when the questions, the compiler's flags or a
# header change.

quiet_cmd_probe = PROBE   $@
      cmd_probe = bash $(src)/compat/probe $(src)/compat/questions $@ $(CC) $(c_flags)

# Use the compiler's flags for a module's objects, not those for the kernel's image.
$(obj)/probed.h: part-of-module := y
$(obj)/probed.h: $(src)/compat/questions $(src)/compat/probe FORCE
	$(call if_changed_dep,probe)
targets += probed.h
clean-files += probed.h

$(addprefix $(obj)/,$(probed)): $(obj)/probed.h
ccflags-y += -I$(obj)
