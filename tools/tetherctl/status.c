// SPDX-License-Identifier: GPL-2.0-only
/*
 * status: prints whether tether is in force, and if not, the reason and what to do; and what
 * is still the in-tree driver's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tetherctl.h"

struct verdict {
	bool in_force;
	const char *why;
	const char *next;
};

static const struct verdict verdicts[] = {
	[BACKEND_NONE] = { false,
		"no type1 backend is loaded",
		"modprobe vfio_iommu_tether or vfio_iommu_type1, whichever is installed as tether; then see that this says yes",
	},
	[BACKEND_OTHER] = { false,
		"the kernel's own vfio_iommu_type1 is loaded",
		"modprobe vfio_iommu_tether, and no program has to stop; or for tether in its place: stop all VFIO programs; modprobe -r vfio_iommu_type1; modprobe vfio_iommu_type1; tetherctl doctor if it is the same then",
	},
	[BACKEND_BEHIND] = { false,
		"the kernel's own vfio_iommu_type1 was loaded after tether, and serves new containers",
		"rmmod vfio_iommu_type1; if it is in use: stop its programs first, or stop all others, and load vfio_iommu_tether again",
	},
	[BACKEND_IN_PLACE] = { true,
		"device memory is revoked before it goes", "nothing",
	},
	[BACKEND_BESIDE] = { true,
		"device memory is revoked before it goes", "nothing",
	},
};

static struct verdict judge(const struct in_tree_use *use)
{
	struct verdict v = verdicts[backend()];

	if (iommufd_serves())
		return (struct verdict){ false, IOMMUFD_SERVES, IOMMUFD_NEXT };
	if (!v.in_force)
		return v;
	if (!strict())
		return (struct verdict){ true,
			"strict_mmio_maps is off: memory of any driver may be mapped",
			"load it without strict_mmio_maps=N unless a program needs that",
		};
	if (use->containers > 0 || use->nr)
		return (struct verdict){ true,
			"but containers that were open before tether was loaded are the in-tree driver's",
			"restart or migrate the programs whose containers are the in-tree driver's",
		};
	if (use->driver == IN_TREE_MODULE && !use->containers)
		v.next = "rmmod vfio_iommu_type1, which is idle";
	return v;
}

static const char *how(void)
{
	switch (backend()) {
	case BACKEND_IN_PLACE:
		return kernel_has_tether() ? "as the kernel's own driver" :
					     "in place of the in-tree driver";
	case BACKEND_BESIDE:
		return "beside the in-tree driver";
	case BACKEND_BEHIND:
		return "behind the in-tree driver";
	default:
		return "not loaded";
	}
}

static const char *driver_name(enum in_tree driver)
{
	static const char *const names[] = {
		[IN_TREE_NONE] = "none",
		[IN_TREE_MODULE] = "module",
		[IN_TREE_BUILT_IN] = "built-in",
	};

	return names[driver];
}

static json_t *holder_json(const struct holder *h)
{
	return json_pack("{s:i, s:s, s:i, s:b}", "pid", h->pid,
			 "command", h->command,
			 "containers", (int)h->containers,
			 "certain", h->certain);
}

static json_t *in_tree_json(const struct in_tree_use *use)
{
	json_t *processes = json_array();
	size_t i;

	for (i = 0; i < use->nr; i++)
		json_array_append_new(processes, holder_json(&use->v[i]));
	return json_pack("{s:s, s:o, s:b, s:o}",
			 "driver", driver_name(use->driver),
			 "containers", use->containers < 0 ? json_null() :
			 json_integer(use->containers),
			 "all_asked", use->complete, "processes", processes);
}

/* In the order of the bits of /proc/sys/kernel/tainted (the kernel's tainted-kernels.rst). */
static const char *const taints[] = {
	"proprietary module", "module loaded by force", "CPU out of specification",
	"module unloaded by force", "machine check", "bad page",
	"by a user (strict_mmio_maps=N does that)", "oops", "ACPI table overridden",
	"warning", "staging driver", "firmware workaround", "out-of-tree module",
	"unsigned module", "soft lockup", "live patch", "by the distribution",
	"randomized structs", "in-kernel test",
};

static json_t *taint_words(void)
{
	unsigned long flags = tainted();
	json_t *words = json_array();
	size_t i;

	for (i = 0; i < sizeof(taints) / sizeof(*taints); i++)
		if (flags >> i & 1)
			json_array_append_new(words, json_string(taints[i]));
	return words;
}

static void print_status_json(const struct verdict *v,
			      const struct in_tree_use *use)
{
	char version[64], source[64];
	struct utsname name;

	uname(&name);
	backend_version(version, sizeof(version));
	module_line("srcversion", source, sizeof(source));
	print_json(json_pack("{s:b, s:s, s:s?, s:s, s:s, s:s, s:b, s:o, s:s, s:I, s:o, s:o, s:s}",
			     "in_force", v->in_force, "why", v->why,
			     "module", tether_module(), "how", how(),
			     "version", version, "srcversion", source,
			     "strict", strict(),
			     "parameters", module_parameters(),
			     "kernel", name.release,
			     "tainted", (json_int_t)tainted(),
			     "taints", taint_words(),
			     "in_tree", in_tree_json(use),
			     "next", v->next));
}

static void print_in_tree(const struct in_tree_use *use)
{
	const struct holder *h;

	printf("in-tree   %s", driver_name(use->driver));
	if (use->containers >= 0 && use->driver != IN_TREE_NONE)
		printf(", containers: %ld%s", use->containers,
		       use->containers ? "" : ", idle");
	else if (use->containers < 0)
		printf(", containers: cannot be told");
	putchar('\n');
	for (h = use->v; h < use->v + use->nr; h++)
		printf("          %s%s[%d]: %u\n", h->certain ? "" : "perhaps ",
		       h->command, h->pid, h->containers);
	if (use->containers > use->found)
		printf("          unknown processes: %ld%s\n",
		       use->containers - use->found,
		       use->complete ? "" : " (run tetherctl as root)");
}

static void print_module(void)
{
	char version[64], source[64];
	json_t *parameters = module_parameters(), *value;
	const char *key;

	backend_version(version, sizeof(version));
	module_line("srcversion", source, sizeof(source));
	printf("module    %s, %s\n", tether_module() ?: "vfio_iommu_tether", how());
	printf("version   %s%s%s\n", version, source[0] ? ", source " : "", source);
	printf("options  ");
	json_object_foreach(parameters, key, value)
		printf(" %s=%s", key, json_string_value(value));
	putchar('\n');
	json_decref(parameters);
}

static void print_tainted(void)
{
	json_t *words = taint_words(), *word;
	size_t i;

	if (tainted())
		printf("tainted   %lu", tainted());
	else
		printf("tainted   no");
	json_array_foreach(words, i, word)
		printf("%s%s", i ? ", " : ": ", json_string_value(word));
	putchar('\n');
	json_decref(words);
}

static void print_status(const struct verdict *v, const struct in_tree_use *use)
{
	struct utsname name;

	uname(&name);
	printf("in force  %s%s%s: %s\n", paint(v->in_force ? GREEN : RED),
	       v->in_force ? "yes" : "no", paint(PLAIN), v->why);
	print_module();
	printf("strict    %s\n", strict() ? "yes" : "no");
	print_in_tree(use);
	printf("kernel    %s\n", name.release);
	print_tainted();
	printf("next      %s\n", v->next);
}

int do_status(const struct options *o)
{
	struct in_tree_use use;
	struct verdict v;

	read_in_tree(&use);
	v = judge(&use);
	if (o->json)
		print_status_json(&v, &use);
	else
		print_status(&v, &use);
	free(use.v);
	return v.in_force ? EXIT_GOOD : EXIT_BAD;
}
