// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO containers and PCI devices: see vfio.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc.h"
#include "stall.h"
#include "vfio.h"

#define CONFIG	VFIO_PCI_CONFIG_REGION_INDEX

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int vfio_container_open(struct vfio_container *c, unsigned long type)
{
	*c = (struct vfio_container){ .type = type };
	c->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	return c->fd < 0 ? -errno : 0;
}

void vfio_container_close(struct vfio_container *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->groups = 0;
}

int vfio_dma_map(struct vfio_container *c, const void *vaddr, uint64_t iova,
		 uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	return sys_ioctl(c->fd, VFIO_IOMMU_MAP_DMA, &map);
}

static int dma_unmap(struct vfio_container *c, uint64_t iova, uint64_t size,
		     uint32_t flags, uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	int ret = sys_ioctl(c->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	if (!ret && unmapped)
		*unmapped = unmap.size;
	return ret;
}

int vfio_dma_unmap(struct vfio_container *c, uint64_t iova, uint64_t size,
		   uint64_t *unmapped)
{
	return dma_unmap(c, iova, size, 0, unmapped);
}

int vfio_dma_unmap_all(struct vfio_container *c, uint64_t *unmapped)
{
	return dma_unmap(c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, unmapped);
}

int vfio_dirty_log(struct vfio_container *c, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = flags,
	};

	return ioctl(c->fd, VFIO_IOMMU_DIRTY_PAGES, &dirty) ? -errno : 0;
}

int vfio_dirty_get(struct vfio_container *c, uint64_t iova, uint64_t size,
		   struct vfio_bitmap bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap dirty;
		struct vfio_iommu_type1_dirty_bitmap_get range;
	} get = {
		.dirty = {
			.argsz = sizeof(get),
			.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		},
		.range = {
			.iova = iova,
			.size = size,
			.bitmap = bitmap,
		},
	};

	return ioctl(c->fd, VFIO_IOMMU_DIRTY_PAGES, &get) ? -errno : 0;
}

int vfio_iommu_info(struct vfio_container *c,
		    struct vfio_iommu_type1_info **info)
{
	uint32_t argsz = sizeof(**info);
	int ret;

	*info = NULL;
	do {
		free(*info);
		*info = calloc(1, argsz);
		if (!*info)
			return -ENOMEM;
		(*info)->argsz = argsz;
		ret = sys_ioctl(c->fd, VFIO_IOMMU_GET_INFO, *info);
		if (ret || (*info)->argsz <= argsz)
			break;
		argsz = (*info)->argsz;
	} while (1);

	if (ret) {
		free(*info);
		*info = NULL;
	}
	return ret;
}

const void *vfio_iommu_cap(const struct vfio_iommu_type1_info *info,
			   uint16_t id)
{
	uint32_t offset = info->cap_offset;

	if (!(info->flags & VFIO_IOMMU_INFO_CAPS))
		return NULL;
	while (offset && offset + sizeof(struct vfio_info_cap_header) <=
		info->argsz) {
		const struct vfio_info_cap_header *header =
			(const void *)((const char *)info + offset);

		if (header->id == id)
			return header;
		/* A valid chain's offsets only increase; any other chain might loop. */
		if (header->next <= offset)
			break;
		offset = header->next;
	}
	return NULL;
}

uint64_t vfio_last_iova(struct vfio_container *c)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap = NULL;
	struct vfio_iommu_type1_info *info;
	uint64_t last = 0;

	if (vfio_iommu_info(c, &info))
		return 0;
	cap = vfio_iommu_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	if (cap && cap->nr_iovas)
		last = cap->iova_ranges[cap->nr_iovas - 1].end;
	free(info);
	return last;
}

int vfio_msi_window(const char *bdf, uint64_t *first, uint64_t *last)
{
	char path[128], line[128], type[16];
	int ret = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/iommu_group/reserved_regions", bdf);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (ret && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %15s", first, last,
			   type) == 3 && !strcmp(type, "msi"))
			ret = 0;
	fclose(file);
	return ret;
}

static void sysfs_path(char *path, size_t size, const char *bdf,
		       const char *leaf)
{
	snprintf(path, size, "/sys/bus/pci/devices/%s/%s", bdf, leaf);
}

static int driver_of(const char *bdf, char *name, size_t size)
{
	char path[128], link[256];
	ssize_t len;

	sysfs_path(path, sizeof(path), bdf, "driver");
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -errno;
	link[len] = 0;
	snprintf(name, size, "%s", strrchr(link, '/') + 1);
	return 0;
}

bool vfio_device_present(const char *bdf)
{
	char path[128];

	sysfs_path(path, sizeof(path), bdf, "vendor");
	return !access(path, R_OK);
}

int vfio_device_unbind(const char *bdf)
{
	char path[128], name[64];

	if (driver_of(bdf, name, sizeof(name)))
		return 0;
	sysfs_path(path, sizeof(path), bdf, "driver/unbind");
	return proc_write_file(path, bdf);
}

int vfio_device_bind(const char *bdf)
{
	char path[128], name[64];
	int ret;

	if (!driver_of(bdf, name, sizeof(name)) && !strcmp(name, "vfio-pci"))
		return 0;
	ret = vfio_device_unbind(bdf);
	if (ret)
		return ret;
	sysfs_path(path, sizeof(path), bdf, "driver_override");
	ret = proc_write_file(path, "vfio-pci");
	if (ret)
		return ret;
	return proc_write_file("/sys/bus/pci/drivers_probe", bdf);
}

int vfio_group_open(const char *bdf)
{
	char path[128];

	sysfs_path(path, sizeof(path), bdf, "iommu_group");
	return vfio_group_open_link(path);
}

int vfio_group_open_link(const char *path_of_link)
{
	char path[128], link[256];
	ssize_t len = readlink(path_of_link, link, sizeof(link) - 1);
	int fd;

	if (len < 0)
		return -errno;
	link[len] = 0;
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int vfio_group_attach(int group, struct vfio_container *c)
{
	int ret = sys_ioctl(group, VFIO_GROUP_SET_CONTAINER, &c->fd);

	if (ret)
		return ret;
	if (!c->groups) {
		ret = sys_ioctl(c->fd, VFIO_SET_IOMMU, (void *)c->type);
		if (ret) {
			sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL);
			return ret;
		}
	}
	c->groups++;
	return 0;
}

int vfio_group_detach(int group, struct vfio_container *c)
{
	int ret = sys_ioctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL);

	if (!ret)
		c->groups--;
	return ret;
}

int vfio_device_open(struct vfio_device *d, struct vfio_container *c,
		     const char *bdf)
{
	int ret;

	*d = (struct vfio_device){ .container = c, .group = -1, .fd = -1 };
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);

	ret = vfio_device_bind(bdf);
	if (ret)
		return ret;
	return vfio_device_open_in(d, vfio_group_open(bdf));
}

int vfio_device_open_in(struct vfio_device *d, int group)
{
	struct vfio_container *c = d->container;
	int ret;

	d->group = group;
	if (group < 0)
		return group;
	ret = vfio_group_attach(group, c);
	if (ret)
		goto close_group;
	d->fd = sys_ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->bdf);
	if (d->fd < 0) {
		ret = d->fd;
		goto detach;
	}
	return 0;

detach:
	vfio_group_detach(d->group, c);
close_group:
	close(d->group);
	d->group = -1;
	return ret;
}

int vfio_device_open_patiently(struct vfio_device *d, struct vfio_container *c,
			       const char *bdf, const atomic_bool *stop)
{
	double until = now() + 10 * patience();
	int ret;

	do {
		ret = vfio_device_open(d, c, bdf);
		if (ret == -EBUSY)
			usleep(1000);
	} while (ret == -EBUSY && now() < until && !(stop && *stop));
	return ret;
}

void vfio_device_close(struct vfio_device *d)
{
	if (!d->container)	/* never opened */
		return;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	if (d->group < 0)
		return;
	/*
	 * Detaching fails with EBUSY if an mmap holds the device open. Then it is
	 * enough to close the group.
	 */
	if (vfio_group_detach(d->group, d->container))
		d->container->groups--;
	close(d->group);
	d->group = -1;
}

int vfio_msix_enable(struct vfio_device *d, unsigned int vector, int eventfd)
{
	struct {
		struct vfio_irq_set set;
		int32_t eventfd;
	} arg = {
		.set = {
			.argsz = sizeof(arg),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSIX_IRQ_INDEX,
			.start = vector,
			.count = 1,
		},
		.eventfd = eventfd,
	};

	return sys_ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &arg);
}

int vfio_region_info(struct vfio_device *d, unsigned int region,
		     struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){
		.argsz = sizeof(*info),
		.index = region,
	};
	return sys_ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

uint64_t vfio_region_size(struct vfio_device *d, unsigned int region)
{
	struct vfio_region_info info;

	return vfio_region_info(d, region, &info) ? 0 : info.size;
}

void *vfio_region_mmap(struct vfio_device *d, unsigned int region,
		       uint64_t offset, size_t len, int prot, void *at)
{
	struct vfio_region_info info;
	int ret = vfio_region_info(d, region, &info);
	void *map;

	if (ret) {
		errno = -ret;
		return NULL;
	}
	map = mmap(at, len, prot, MAP_SHARED | (at ? MAP_FIXED : 0), d->fd,
		   info.offset + offset);
	return map == MAP_FAILED ? NULL : map;
}

int vfio_region_read(struct vfio_device *d, unsigned int region,
		     uint64_t offset, void *buf, size_t len)
{
	struct vfio_region_info info;
	int ret = vfio_region_info(d, region, &info);
	ssize_t done;

	if (ret)
		return ret;
	done = pread(d->fd, buf, len, info.offset + offset);
	if (done < 0)
		return -errno;
	return (size_t)done == len ? 0 : -EIO;
}

int vfio_region_write(struct vfio_device *d, unsigned int region,
		      uint64_t offset, const void *buf, size_t len)
{
	struct vfio_region_info info;
	int ret = vfio_region_info(d, region, &info);
	ssize_t done;

	if (ret)
		return ret;
	done = pwrite(d->fd, buf, len, info.offset + offset);
	if (done < 0)
		return -errno;
	return (size_t)done == len ? 0 : -EIO;
}

void *vfio_reserve(size_t len, size_t align, size_t skew)
{
	size_t room = len + 2 * align;
	char *map = mmap(NULL, room, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (map == MAP_FAILED)
		return NULL;
	start = (char *)(((uintptr_t)map + align - 1) & ~(align - 1)) + skew;
	if (start > map)
		munmap(map, start - map);
	munmap(start + len, map + room - (start + len));
	return start;
}

static int command_bit(struct vfio_device *d, uint16_t bit, bool on)
{
	uint16_t command;
	int ret = vfio_region_read(d, CONFIG, PCI_COMMAND, &command, 2);

	if (ret)
		return ret;
	command = on ? command | bit : command & ~bit;
	return vfio_region_write(d, CONFIG, PCI_COMMAND, &command, 2);
}

int vfio_decoding(struct vfio_device *d, bool on)
{
	return command_bit(d, PCI_COMMAND_MEMORY, on);
}

int vfio_bus_master(struct vfio_device *d, bool on)
{
	return command_bit(d, PCI_COMMAND_MASTER, on);
}

int vfio_reset(struct vfio_device *d)
{
	return sys_ioctl(d->fd, VFIO_DEVICE_RESET, NULL);
}

int vfio_hot_reset(struct vfio_device *d)
{
	/*
	 * The ioctl needs the groups of all devices of the bus. For every device of the
	 * lab the device's own group has them all.
	 */
	struct vfio_pci_hot_reset *reset =
		calloc(1, sizeof(*reset) + sizeof(reset->group_fds[0]));
	int ret;

	if (!reset)
		return -ENOMEM;
	reset->argsz = sizeof(*reset) + sizeof(reset->group_fds[0]);
	reset->count = 1;
	reset->group_fds[0] = d->group;
	ret = sys_ioctl(d->fd, VFIO_DEVICE_PCI_HOT_RESET, reset);
	free(reset);
	return ret;
}

int vfio_low_power(struct vfio_device *d, bool enter)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_SET |
			 (enter ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY :
				  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT),
	};

	return sys_ioctl(d->fd, VFIO_DEVICE_FEATURE, &feature);
}

int vfio_power_state(struct vfio_device *d, unsigned int dstate)
{
	uint8_t at, id;
	uint16_t pmcsr;
	int ret = vfio_region_read(d, CONFIG, PCI_CAPABILITY_LIST, &at, 1);

	while (!ret && at) {
		ret = vfio_region_read(d, CONFIG, at, &id, 1);
		if (ret || id == PCI_CAP_ID_PM)
			break;
		ret = vfio_region_read(d, CONFIG, at + 1, &at, 1);
	}
	if (ret)
		return ret;
	if (!at)
		return -ENOTSUP;
	ret = vfio_region_read(d, CONFIG, at + PCI_PM_CTRL, &pmcsr, 2);
	if (ret)
		return ret;
	pmcsr = (pmcsr & ~PCI_PM_CTRL_STATE_MASK) | dstate;
	return vfio_region_write(d, CONFIG, at + PCI_PM_CTRL, &pmcsr, 2);
}
