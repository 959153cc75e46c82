// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/vfio_type1/ has a directory for each container, named by the
 * container's number, whose files list what is mapped and by which process; and the file
 * "stats", with the counters of stats.c. docs/observe.md has the format.
 *
 * A read() of a file holds container->lock while one buffer is filled with text, some
 * 40 lines, and drops the lock before it copies the text to the reader. So no ioctl
 * waits for a slow reader; but mappings may change between two buffers, so a long list
 * does not show one moment. container_release() removes the files first, and without
 * container->lock: removing waits for readers, and these take the lock.
 */
#include <linux/debugfs.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "backing.h"
#include "container.h"
#include "debugfs.h"
#include "domain.h"
#include "mirror.h"
#include "span.h"
#include "stats.h"
#include "tree.h"

static struct dentry *root;

/**
 * struct cursor - The line of the file "mappings" that a reader has come to
 * @c: the container
 * @iova: first IOVA of the line; tells the next read() where to go on, since
 *	  container->lock is dropped in between and @m and @s are not valid then
 * @m: the line's mapping; valid only while container->lock is held
 * @s: the line's segment, or NULL if the mapping has none; valid like @m
 */
struct cursor {
	struct container *c;
	u64 iova;
	struct mapping *m;
	struct segment *s;
};

/* Set the cursor to the line at IOVA @from or to the next one above; NULL if none. */
static struct cursor *cursor_seek(struct cursor *cur, u64 from)
{
	struct mapping *m;
	struct segment *s;

	for_each_mapping_in(m, cur->c, from, U64_MAX) {
		cur->m = m;
		if (list_empty(&m->segments) && m->node.start >= from) {
			cur->s = NULL;
			cur->iova = m->node.start;
			return cur;
		}
		list_for_each_entry(s, &m->segments, node) {
			if (segment_iova(s) < from)
				continue;
			cur->s = s;
			cur->iova = segment_iova(s);
			return cur;
		}
	}
	return NULL;
}

static void *mappings_start(struct seq_file *file, loff_t *pos)
{
	struct cursor *cur = file->private;

	if (mutex_lock_interruptible(&cur->c->lock))
		return ERR_PTR(-EINTR);
	if (!*pos) {
		cur->iova = 0;
		return SEQ_START_TOKEN;
	}
	return cursor_seek(cur, cur->iova);
}

static void *mappings_next(struct seq_file *file, void *at, loff_t *pos)
{
	struct cursor *cur = file->private;

	++*pos;
	if (at == SEQ_START_TOKEN)
		return cursor_seek(cur, 0);
	if (cur->s && !list_is_last(&cur->s->node, &cur->m->segments)) {
		cur->s = list_next_entry(cur->s, node);
		cur->iova = segment_iova(cur->s);
		return cur;
	}
	cur->iova = cur->m->node.last;
	return cur->iova == U64_MAX ? NULL : cursor_seek(cur, cur->iova + 1);
}

static void mappings_stop(struct seq_file *file, void *at)
{
	struct cursor *cur = file->private;

	if (!IS_ERR(at))
		mutex_unlock(&cur->c->lock);
}

static void show_mirror(struct seq_file *file, const struct segment *s)
{
	const struct backing *b = segment_backing(s);
	struct mirror_stat stat;

	mirror_stat(s, segment_iova(s), segment_iova(s) + s->size - 1, &stat);
	seq_printf(file, " mirror %s ", stat.live ? "live" :
		   stat.revoked ? "revoked" : "gone");
	seq_escape(file, b->name, " \t\n\\");
	seq_printf(file, " %d %#llx %llu %llu %llu %u %llu", b->region,
		   b->offset, stat.live, stat.revoked, stat.gone,
		   stat.revocations, div_u64(stat.away_ns, NSEC_PER_MSEC));
}

static int mappings_show(struct seq_file *file, void *at)
{
	struct cursor *cur = file->private;
	struct mapping *m = cur->m;

	if (at == SEQ_START_TOKEN) {
		seq_puts(file, "#iova size vaddr prot owner age_ms kind state device region offset live revoked gone revocations away_ms\n");
		return 0;
	}
	seq_printf(file, "%#llx %zu %#lx %s%s %d %lld", cur->iova,
		   cur->s ? cur->s->size : mapping_size(m),
		   cur->s ? segment_vaddr(cur->s) : m->vaddr,
		   m->prot & IOMMU_READ ? "r" : "-",
		   m->prot & IOMMU_WRITE ? "w" : "-", m->task->tgid,
		   ktime_ms_delta(ktime_get(), m->made_at));
	if (!cur->s)
		seq_puts(file, " none - - -1 0 0 0 0 0 0");
	else if (cur->s->kind == SEGMENT_MIRROR)
		show_mirror(file, cur->s);
	else
		seq_printf(file, " pinned live - -1 0 %zu 0 0 0 0", cur->s->size);
	seq_putc(file, '\n');
	return 0;
}

static const struct seq_operations mappings_seq = {
	.start = mappings_start,
	.next = mappings_next,
	.stop = mappings_stop,
	.show = mappings_show,
};

static int mappings_open(struct inode *inode, struct file *file)
{
	struct cursor *cur = __seq_open_private(file, &mappings_seq,
						sizeof(*cur));

	if (!cur)
		return -ENOMEM;
	cur->c = inode->i_private;
	return 0;
}

static const struct file_operations mappings_fops = {
	.owner = THIS_MODULE,
	.open = mappings_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

static int summary_show(struct seq_file *file, void *unused)
{
	struct container *c = file->private;
	const struct domain *d;
	const struct group *g;
	const struct span *s;

	if (mutex_lock_interruptible(&c->lock))
		return -EINTR;
	seq_printf(file, "type %s\ngroups", c->v2 ? "v2" : "v1");
	list_for_each_entry(d, &c->domains, node)
		list_for_each_entry(g, &d->groups, node)
			seq_printf(file, " %d", iommu_group_id(g->iommu));
	seq_printf(file, "\nmappings_avail %u\nmirrors_avail %u\nmappings_max %u\nusable",
		   c->mappings_avail, c->mirrors_avail, c->mappings_max);
	list_for_each_entry(s, &c->usable, node)
		seq_printf(file, " 0x%llx-0x%llx", s->first, s->last);
	seq_putc(file, '\n');
	mutex_lock(&c->mirror_lock);
	seq_printf(file, "waiting %u\n", c->nr_revoked);
	if (c->refused)
		seq_printf(file, "refused %d\n", -c->refused);
	mutex_unlock(&c->mirror_lock);
	mutex_unlock(&c->lock);
	return 0;
}

DEFINE_SHOW_ATTRIBUTE(summary);

/** debug_add() - Make a new container's directory and files */
void debug_add(struct container *c)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", c->id);
	c->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("summary", 0400, c->debugfs, c, &summary_fops);
	debugfs_create_file("mappings", 0400, c->debugfs, c, &mappings_fops);
}

/**
 * debug_del() - Remove a container's directory and files
 * @c: the container, its lock not held: this waits for readers, which take the lock
 */
void debug_del(struct container *c)
{
	debugfs_remove(c->debugfs);
}

static int counters_show(struct seq_file *file, void *unused)
{
	stats_show(file);
	return 0;
}

DEFINE_SHOW_ATTRIBUTE(counters);

/** debug_init() - Make vfio_type1/; does nothing on a kernel without debugfs */
void debug_init(void)
{
	root = debugfs_create_dir("vfio_type1", NULL);
	debugfs_create_file("stats", 0400, root, NULL, &counters_fops);
}

/** debug_exit() - Remove vfio_type1/, on module unload */
void debug_exit(void)
{
	debugfs_remove(root);
}
