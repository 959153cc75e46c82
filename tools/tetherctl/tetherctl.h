/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that tetherctl's commands share. module.c reads which drivers are loaded,
 * state.c what tether has mapped, process.c how much a process may lock, intree.c which
 * containers are the in-tree driver's, holders.c who has files of VFIO open, machine.c
 * which virtual machine a process runs, options.c modprobe's options, and initramfs.c the
 * initramfs. device.c finds the devices that an option names; output.c formats output, and
 * each command has a file of its own.
 */
#ifndef TETHERCTL_H
#define TETHERCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/* Exit codes, for scripts (tetherctl(8)). */
enum {
	EXIT_GOOD = 0,
	EXIT_BAD = 1,		/* not in force; or doctor has found a fault */
	EXIT_USAGE = 2,		/* or no such device */
	EXIT_UNREADABLE = 3,	/* not root, or no debugfs or tracefs; or it cannot be written */
};

struct options {
	bool json;
	bool per_device;	/* numbers for each device and holder, too */
	long container;		/* show only this container's, or -1 for all */
	const char *output;	/* the file to write to, or NULL for stdout */
	const char *device;	/* show only the devices that this names, or NULL for all */
	const char *argument;	/* of guard: what to do; or NULL */
};

#define DEBUGFS	"/sys/kernel/debug/vfio_type1"

/* Tether's module beside the in-tree one, and the name that the others share. */
#define BESIDE	"vfio_iommu_tether"
#define TYPE1	"vfio_iommu_type1"

/* What serves the containers that are opened now. */
enum backend {
	BACKEND_NONE,
	BACKEND_OTHER,		/* the in-tree driver; tether is not loaded */
	BACKEND_BEHIND,		/* the in-tree driver, which was loaded after tether */
	BACKEND_IN_PLACE,
	BACKEND_BESIDE,
};

/* What status and doctor say if /dev/vfio/vfio is a link to /dev/iommu. */
#define IOMMUFD_SERVES	\
	"/dev/vfio/vfio is a link to /dev/iommu: who opens it gets iommufd, neither tether nor in-tree type1"
#define IOMMUFD_NEXT	\
	"rm /dev/vfio/vfio; mknod -m 666 /dev/vfio/vfio c 10 196; and remove what makes the link at boot"

enum in_tree {
	IN_TREE_NONE,
	IN_TREE_MODULE,
	IN_TREE_BUILT_IN,
};

/*
 * A process that has containers of the in-tree driver open. If @certain is false, some
 * of them may be tether's, or have no driver.
 */
struct holder {
	int pid;
	char command[32];
	unsigned int containers;
	bool certain;
};

struct in_tree_use {
	enum in_tree driver;
	long containers;	/* of the in-tree driver, in all; -1 if it cannot be told */
	struct holder *v;	/* to be freed */
	size_t nr;
	long found;		/* different containers of these processes */
	bool complete;		/* every process could be looked at and be asked */
};

/* A line of debugfs (docs/observe.md). */
struct segment {
	unsigned int container;
	uint64_t iova, size, vaddr;
	char prot[4];
	int owner;
	long long age_ms;
	char kind[16];
	char state[16];
	char device[128];
	int region;
	uint64_t offset, live, revoked, gone;
	unsigned int revocations;
	uint64_t away_ms;
};

/* A container that VFIO_SET_IOMMU would not make, and that returns this error. */
struct refusal {
	unsigned int container;
	int error;
};

struct segments {
	struct segment *v;
	size_t nr;
	struct refusal *refusals;
	size_t nr_refusals;
	unsigned int *containers;	/* their numbers */
	size_t nr_containers;
};

/* Bytes summed up by device, owner and container, of one device or of all. */
struct holding {
	char device[128];
	unsigned int container;
	int owner;
	uint64_t live, revoked, gone;
	unsigned int mirrors, revocations;
};

/* What RLIMIT_MEMLOCK counts of a process, and the limit (bytes). */
struct memlock {
	uint64_t locked;
	uint64_t limit;		/* UINT64_MAX: none that binds the process */
};

/* A process that has files of VFIO open. */
struct vfio_user {
	int pid;
	char command[32];
	int groups[64];		/* IOMMU groups; more than these are left out */
	unsigned int nr_groups, containers, devices;
	bool has_memlock;
	struct memlock memlock;
};

struct vfio_users {
	struct vfio_user *v;	/* to be freed */
	size_t nr;
};

/* Which type1 drivers the initramfs has. */
enum initramfs {
	INITRAMFS_UNKNOWN,
	INITRAMFS_NEITHER,
	INITRAMFS_IN_TREE,	/* and no tether */
	INITRAMFS_TETHER,
};

/* module.c */
enum backend backend(void);
/* Do programs that open /dev/vfio/vfio get iommufd, whatever type1 driver is loaded? */
bool iommufd_serves(void);
bool in_force(void);
/* Is tether the kernel's own vfio_iommu_type1 (docs/kernel-tree.md)? */
bool kernel_has_tether(void);
const char *tether_module(void);	/* NULL if tether is not loaded */
enum in_tree in_tree_driver(void);
long in_tree_references(void);		/* to the in-tree module, or -1 */
/* These are of tether's module, or if it is not loaded of the in-tree driver. */
int module_line(const char *file, char *text, size_t size);	/* or -errno */
void backend_version(char *text, size_t size);
bool strict(void);
json_t *module_parameters(void);	/* an object */

/* intree.c */
void read_in_tree(struct in_tree_use *use);

/* options.c: does modprobe set the module's option? where: the file that does. */
bool option_is_set(const char *module, const char *option, char *where,
		   size_t size);

/* device.c */
bool device_matches(const char *wanted, const char *name);	/* NULL matches all */
/* Ends the program with EXIT_USAGE if it names no device; NULL names all. */
void device_must_exist(const char *wanted);

/* process.c */
void owner_name(int pid, char *text, size_t size);	/* "-" if the process has ended */
bool read_memlock(int pid, struct memlock *m);		/* false if it has ended */

/* machine.c: NULL if it runs none that is known; valid until the next call */
const char *machine_name(int pid);

/* holders.c: those that have a group open with such a device; NULL for all */
void read_users(struct vfio_users *all, const char *wanted);

/* initramfs.c; path: the initramfs of the running kernel */
enum initramfs read_initramfs(char *path, size_t size);

/* state.c */
unsigned long tainted(void);
int read_line(const char *path, char *text, size_t size);	/* or -errno */
/* Ends the program with EXIT_UNREADABLE and a reason if it cannot. */
void read_segments(struct segments *s, const struct options *o);
bool summary_number(unsigned int container, const char *word, uint64_t *value);
struct holding *sum_holdings(const struct segments *s, size_t *nr);
json_t *container_groups(unsigned int container);
json_t *group_devices(long long group);	/* names of the devices of an IOMMU group */
/* The devices that reach the container's mappings, sorted. */
json_t *container_devices(unsigned int container);

/* output.c */
enum colour { PLAIN, GREEN, YELLOW, RED, BOLD };
const char *paint(enum colour c);	/* empty if stdout is no terminal with colours */
/* Replaces control characters, and all that is not ASCII if the text is no UTF-8. */
void make_printable(char *text);
const char *human(uint64_t bytes, char text[16]);
int print_json(json_t *json);		/* drops the reference; returns EXIT_GOOD */
/* Writes to stdout, or replaces the file at once. Returns an exit code. */
int write_output(const char *path, const char *text, size_t len);

int do_status(const struct options *o);
int do_maps(const struct options *o);
int do_devices(const struct options *o);
int do_watch(const struct options *o);
int do_metrics(const struct options *o);
int do_doctor(const struct options *o);
int do_guard(const struct options *o);

#endif
