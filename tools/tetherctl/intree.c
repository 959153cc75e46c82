// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the processes that have containers which the in-tree driver serves. If tether is
 * loaded beside it, these are the containers that were opened before that.
 *
 * For each file that may be a container, tetherctl takes a duplicate of the file from the
 * process and asks it for VFIO_TETHER_EXTENSION. While tether is loaded, only a container
 * of another driver answers 0; one that has no driver yet answers 1, as tether's do. If
 * tether is not loaded, a container without a driver answers 0, too. So then, and if the
 * kernel refuses tetherctl the duplicate, the answer is not certain. Nor is it if a
 * process has several such files and the kernel cannot tell whether they are the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/vfio_tether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tetherctl.h"

/* /dev/vfio/vfio: MISC_MAJOR and VFIO_MINOR */
#define CONTAINER	makedev(10, 196)

/* Is a file a container of the in-tree driver? NONE: it may be, but is not certain. */
enum answer { ANSWER_NO, ANSWER_YES, ANSWER_NONE };

/* A container's file that is, or may be, the in-tree driver's. */
struct found {
	int pid, fd;
	enum answer answer;
};

struct search {
	struct found *v;
	size_t nr;
	bool complete;	/* the files of all processes could be listed */
};

static bool may_be_container(const char *path)
{
	char target[256] = "";

	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       strstr(target, "vfio");
}

/* Is this file, a duplicate, a container of the in-tree driver? */
static enum answer ask(int file)
{
	struct stat stat;

	if (fstat(file, &stat) || !S_ISCHR(stat.st_mode) ||
	    stat.st_rdev != CONTAINER)
		return ANSWER_NO;
	if (ioctl(file, VFIO_CHECK_EXTENSION, VFIO_TETHER_EXTENSION) == 1)
		return ANSWER_NO;
	/* A no-IOMMU container's driver does not offer type1, so it is not in-tree type1. */
	if (ioctl(file, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		return ANSWER_NO;
	return tether_module() ? ANSWER_YES : ANSWER_NONE;
}

static enum answer ask_process(int pid, int fd)
{
	int process = syscall(SYS_pidfd_open, pid, 0), file;
	enum answer answer = ANSWER_NONE;

	if (process < 0)
		return errno == ESRCH ? ANSWER_NO : ANSWER_NONE;
	file = syscall(SYS_pidfd_getfd, process, fd, 0);
	if (file >= 0) {
		answer = ask(file);
		close(file);
	} else if (errno == EBADF || errno == ESRCH) {
		answer = ANSWER_NO;	/* it has just been closed */
	}
	close(process);
	return answer;
}

static void search_process(struct search *s, int pid)
{
	struct dirent *entry;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir && errno != ENOENT && errno != ESRCH)
		s->complete = false;
	while (dir && (entry = readdir(dir))) {
		struct found one = { .pid = pid, .fd = atoi(entry->d_name) };

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid,
			 entry->d_name);
		if (!may_be_container(path))
			continue;
		one.answer = ask_process(pid, one.fd);
		if (one.answer == ANSWER_NO)
			continue;
		s->v = reallocarray(s->v, s->nr + 1, sizeof(*s->v));
		if (!s->v)
			abort();
		s->v[s->nr++] = one;
	}
	if (dir)
		closedir(dir);
}

static void search_all(struct search *s)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	*s = (struct search){ .complete = dir };
	while (dir && (entry = readdir(dir)))
		if (atoi(entry->d_name) > 0)
			search_process(s, atoi(entry->d_name));
	if (dir)
		closedir(dir);
}

/* False on a kernel without kcmp() (CONFIG_KCMP). */
static bool can_compare_files(void)
{
	return !syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0, 0) ||
	       errno != ENOSYS;
}

static bool same_file(const struct found *a, const struct found *b)
{
	return !syscall(SYS_kcmp, a->pid, b->pid, KCMP_FILE, a->fd, b->fd);
}

/*
 * Has an earlier entry than s->v[i] the same container (programs share files)? Looks at
 * entries of the same process only, unless @any.
 */
static bool counted(const struct search *s, size_t i, bool any)
{
	size_t j;

	for (j = 0; j < i; j++)
		if ((any || s->v[j].pid == s->v[i].pid) &&
		    same_file(&s->v[j], &s->v[i]))
			return true;
	return false;
}

static void sum_up(const struct search *s, struct in_tree_use *use)
{
	struct holder *h = NULL;
	size_t i;

	use->v = calloc(s->nr + 1, sizeof(*use->v));
	if (!use->v)
		abort();
	use->complete = s->complete;
	for (i = 0; i < s->nr; i++) {
		if (!h || h->pid != s->v[i].pid) {
			h = &use->v[use->nr++];
			h->pid = s->v[i].pid;
			h->certain = true;
			owner_name(h->pid, h->command, sizeof(h->command));
		}
		if (s->v[i].answer != ANSWER_YES ||
		    (h->containers && !can_compare_files()))
			h->certain = false;
		use->complete &= h->certain;
		h->containers += !counted(s, i, false);
		use->found += !counted(s, i, true);
	}
}

void read_in_tree(struct in_tree_use *use)
{
	struct search s;

	*use = (struct in_tree_use){ .driver = in_tree_driver(),
				     .complete = true };
	if (use->driver == IN_TREE_NONE)
		return;
	search_all(&s);
	sum_up(&s, use);
	free(s.v);
	/* Each container that has a driver holds a reference to its module. */
	use->containers = use->driver == IN_TREE_MODULE ? in_tree_references() :
			  use->complete && tether_module() ? use->found : -1;
	if (!use->containers) {
		use->nr = 0;	/* no driver serves the uncertain ones that were found */
		use->found = 0;
	}
}
