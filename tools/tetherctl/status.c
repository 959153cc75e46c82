// SPDX-License-Identifier: GPL-2.0-only
/*
 * status: prints whether tether is in force, and if not, the reason and what to do.
 */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tetherctl.h"

#define TAINT_USER	(1UL << 6)

struct verdict {
	bool in_force;
	const char *why;
	const char *next;
};

static struct verdict judge(void)
{
	switch (backend()) {
	case BACKEND_NONE:
		return (struct verdict){ false,
			"no type1 backend is loaded",
			"modprobe vfio_iommu_type1, then see that this says yes" };
	case BACKEND_OTHER:
		return (struct verdict){ false,
			"the kernel's own vfio_iommu_type1 is loaded",
			"stop all VFIO programs; modprobe -r vfio_iommu_type1; modprobe vfio_iommu_type1; tetherctl doctor if it is the same then",
		};
	default:
		break;
	}
	if (!strict())
		return (struct verdict){ true,
			"strict_mmio_maps is off: memory of any driver may be mapped",
			"load it without strict_mmio_maps=N unless a program needs that" };
	return (struct verdict){ true, "device memory is revoked before it goes",
				 "nothing" };
}

int do_status(const struct options *o)
{
	struct verdict v = judge();
	struct utsname name;
	char version[64];

	backend_version(version, sizeof(version));
	uname(&name);
	if (o->json) {
		print_json(json_pack("{s:b, s:s, s:s, s:b, s:s, s:I, s:s}",
				     "in_force", v.in_force, "why", v.why,
				     "version", version, "strict", strict(),
				     "kernel", name.release,
				     "tainted", (json_int_t)tainted(),
				     "next", v.next));
		return v.in_force ? EXIT_GOOD : EXIT_BAD;
	}
	printf("in force  %s%s%s: %s\n", paint(v.in_force ? GREEN : RED),
	       v.in_force ? "yes" : "no", paint(PLAIN), v.why);
	printf("version   %s\n", version);
	printf("strict    %s\n", strict() ? "yes" : "no");
	printf("kernel    %s\n", name.release);
	printf("tainted   %lu%s\n", tainted(), tainted() & TAINT_USER ?
	       " (by a user: strict_mmio_maps=N does that)" : "");
	printf("next      %s\n", v.next);
	return v.in_force ? EXIT_GOOD : EXIT_BAD;
}
