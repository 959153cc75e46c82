// SPDX-License-Identifier: GPL-2.0-only
/*
 * tetherctl's output is right, on real mappings in every state, and so are the exit
 * codes and formats that scripts rely on.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <linux/vfio_tether.h>

#include "backend.h"
#include "command.h"
#include "emu.h"
#include "proc.h"
#include "rig.h"

#define RAM_LEN		(4 * PAGE)
#define IOVA_RAM	(IOVA + RIG_LEN)
#define GUARD		"/etc/modprobe.d/tether-guard.conf"
#define MANY		3000u
/* Seconds for watch to begin: the kernel makes some thousand files for its instance. */
#define START		30u

static struct command ctl;
static struct vfio_container other;
static void *ram;

static void must(const char *command)
{
	assert_int_equal(system(command), 0);
}

static int run(const char *command, const char *option)
{
	const char *const argv[] = { "tetherctl", command, option, NULL };

	return command_run(&ctl, argv);
}

static void runs(const char *command, const char *option, int expected)
{
	int status = run(command, option);

	if (status != expected)
		broken("tetherctl %s: status %d, not %d: %s", command, status,
		       expected, ctl.text);
}

static void says(const char *text)
{
	if (!strstr(ctl.text, text))
		broken("no '%s' in: %s", text, ctl.text);
}

static json_t *as_json(void)
{
	json_error_t error;
	json_t *json = json_loads(ctl.text, 0, &error);

	if (!json)
		broken("no JSON (%s): %s", error.text, ctl.text);
	return json;
}

static long long number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		broken("no number '%s' in: %s", key, ctl.text);
	return json_integer_value(value);
}

static void text_is(const json_t *object, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (!value || strcmp(value, text))
		broken("'%s' is '%s', not '%s'", key, value ?: "(none)", text);
}

/* Finds the element of an array in the output whose key has this value. */
static json_t *find(json_t *json, const char *array, const char *key,
		    long long value)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json, array), i, one)
		if (number(one, key) == value)
			return one;
	broken("no %s with %s %lld in: %s", array, key, value, ctl.text);
	return NULL;
}

/* Finds the element of "maps" for this IOVA, which has to be of that kind and size. */
static json_t *part(json_t *json, uint64_t iova, const char *kind, size_t size)
{
	json_t *one = find(json, "maps", "iova", iova);

	text_is(one, "kind", kind);
	assert_int_equal(number(one, "size"), size);
	return one;
}

static int mapped(void **state)
{
	rig_mapped(state);
	ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	ok(vfio_dma_map(&rig.container, ram, IOVA_RAM, RAM_LEN, VFIO_DMA_RO));
	ctl.pid = 0;
	return 0;
}

static int heal(void **state)
{
	if (ctl.pid && ctl.out >= 0)
		command_finish(&ctl, SIGKILL);
	munmap(ram, RAM_LEN);
	return rig_heal(state);
}

static void status_tells_whether_it_is_in_force(void **state)
{
	json_t *json;

	runs("status", NULL, !on_tether());
	says(on_tether() ? "in force  yes" : "in force  no");
	if (strchr(ctl.text, '\033'))
		broken("colours, but no terminal");
	runs("status", "--json", !on_tether());
	json = as_json();
	assert_int_equal(json_is_true(json_object_get(json, "in_force")),
			 on_tether());
	text_is(json, "version", on_tether() ? TETHER_VERSION "-tether" : "0.2");
	json_decref(json);
}

static int make_link(void **state)
{
	must("mv /dev/vfio/vfio /dev/vfio/moved; ln -s /dev/iommu /dev/vfio/vfio");
	must("[ -e /dev/iommu ] || { mknod /dev/iommu c 10 58; : >/tmp/made; }");
	return 0;
}

static int unmake_link(void **state)
{
	must("mv /dev/vfio/moved /dev/vfio/vfio");
	must("[ ! -e /tmp/made ] || rm /dev/iommu /tmp/made");
	return 0;
}

/* Programs that open /dev/vfio/vfio get iommufd, so no loaded driver is in force. */
static void a_link_to_iommufd_is_found(void **state)
{
	json_t *json;

	runs("status", NULL, 1);
	says("in force  no: /dev/vfio/vfio is a link to /dev/iommu");
	says("next      rm /dev/vfio/vfio; mknod");
	runs("status", "--json", 1);
	json = as_json();
	assert_false(json_is_true(json_object_get(json, "in_force")));
	json_decref(json);
	runs("doctor", NULL, 1);
	says("BAD  /dev/vfio/vfio is a link to /dev/iommu");
	runs("metrics", NULL, 0);
	says("tether_in_force 0\n");
}

static void without_tether_there_is_nothing_to_read(void **state)
{
	runs("maps", NULL, on_tether() ? 0 : 3);
	runs("metrics", NULL, 0);
	says(on_tether() ? "tether_in_force 1\n" : "tether_in_force 0\n");
}

static void usage_has_a_status_of_its_own(void **state)
{
	runs("nonsense", NULL, 2);
	runs("maps", "--nonsense", 2);
	runs("maps", "maps", 2);
	runs("help", NULL, 0);
	says("Commands:");
	runs("help", "nonsense", 2);
}

/* The help of a command has its options alone, and names its man page. */
static void each_command_has_a_help_of_its_own(void **state)
{
	runs("help", "maps", 0);
	says("--device=DEVICE");
	says("tetherctl-maps(8)");
	runs("metrics", "--help", 0);
	says("--per-device");
	says("tetherctl-metrics(8)");
	if (strstr(ctl.text, "--json"))
		broken("metrics does not take it: %s", ctl.text);
}

/* Nothing is ignored in silence. */
static void options_that_a_command_does_not_take_are_errors(void **state)
{
	runs("metrics", "--json", 2);
	says("metrics does not take --json");
	runs("status", "--device=" TARGET, 2);
	says("status does not take --device");
}

static void maps_lists_memory_by_kind(void **state)
{
	json_t *json, *one;

	runs("maps", "--json", 0);
	json = as_json();
	one = part(json, IOVA, "mirror", RIG_LEN);
	assert_int_equal(number(one, "vaddr"), (uintptr_t)rig.map);
	assert_int_equal(number(one, "owner"), getpid());
	assert_int_equal(number(one, "region"), TARGET_BAR);
	assert_int_equal(number(one, "live"), RIG_LEN);
	text_is(one, "command", "test_tetherctl");
	text_is(one, "state", "live");
	text_is(one, "device", TARGET);
	text_is(one, "prot", "rw");
	one = part(json, IOVA_RAM, "pinned", RAM_LEN);
	text_is(one, "prot", "r-");
	json_decref(json);
}

/* A process may give itself any name; that must neither hide it nor reach the terminal. */
static void a_name_that_is_no_text_hides_nothing(void **state)
{
	static const char *const names[][2] = {
		{ "a\xff\033[1m\177z", "a??[1m?z" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "x\xc2\x9by", "x??y" },
	};
	char name[16] = "";
	json_t *json;
	size_t i;

	ok(prctl(PR_GET_NAME, name));
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		ok(prctl(PR_SET_NAME, names[i][0]));
		runs("maps", "--json", 0);
		json = as_json();
		text_is(part(json, IOVA, "mirror", RIG_LEN), "command", names[i][1]);
		json_decref(json);
		runs("maps", NULL, 0);
		says(names[i][1]);
	}
	ok(prctl(PR_SET_NAME, name));
}

/* Does maps say that the process with the mapping runs this machine? */
static void machine_is(const char *name)
{
	json_t *json, *one;

	runs("maps", "--json", 0);
	json = as_json();
	one = part(json, IOVA, "mirror", RIG_LEN);
	if (name)
		text_is(one, "machine", name);
	else
		assert_true(json_is_null(json_object_get(one, "machine")));
	json_decref(json);
}

/* The test's own command line, while it has another one. */
static unsigned long arguments[2];

static unsigned long stat_field(unsigned int number)
{
	char text[1024], *rest;

	ok(proc_read_file("/proc/self/stat", text, sizeof(text)));
	rest = strrchr(text, ')');	/* the second field ends here */
	for (; number > 2; number--)
		rest = strchr(rest + 1, ' ');
	return strtoul(rest, NULL, 10);
}

/* Sets the command line; the order has to be such that it never ends before it begins. */
static void set_command_line(unsigned long start, unsigned long end)
{
	bool lower = start < arguments[0];

	ok(prctl(PR_SET_MM, lower ? PR_SET_MM_ARG_START : PR_SET_MM_ARG_END,
		 lower ? start : end, 0, 0));
	ok(prctl(PR_SET_MM, lower ? PR_SET_MM_ARG_END : PR_SET_MM_ARG_START,
		 lower ? end : start, 0, 0));
}

static int with_command_line(void **state)
{
	arguments[0] = stat_field(48);
	arguments[1] = stat_field(49);
	return mapped(state);
}

static int without_command_line(void **state)
{
	set_command_line(arguments[0], arguments[1]);
	return heal(state);
}

static void maps_names_the_machine_of_qemu(void **state)
{
	static const struct {
		const char *machine;
		char line[128];		/* words that end with a 0 */
	} lines[] = {
		{ "web", "/usr/bin/qemu-system-x86_64\0-name\0guest=web,debug-threads=on" },
		{ "a,b c", "/usr/bin/kvm\0-name\0debug-threads=on,guest=a,,b c" },
		{ "web 2", "/usr/libexec/qemu-kvm\0--name\0web 2,process=x\0-uuid\0001-2" },
		{ "1-2", "qemu-system-x86_64\0-uuid\0001-2\0-m\0004G" },
		{ NULL, "qemu-system-x86_64\0-m\0004G\0-name" },
		{ NULL, "other\0-name\0web" },
		{ "x??y", "kvm\0-name\0x\033\377y" },
	};
	char line[sizeof(lines->line)];	/* the kernel shows anonymous memory only */
	size_t i, len;

	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		for (len = sizeof(line); !lines[i].line[len - 1]; len--)
			;
		memcpy(line, lines[i].line, sizeof(line));
		set_command_line((unsigned long)line, (unsigned long)line + len + 1);
		machine_is(lines[i].machine);
		runs("devices", NULL, 0);
		says(lines[i].machine ?: " - ");
		set_command_line(arguments[0], arguments[1]);
	}
}

#define GROUPS	"/tmp/groups"

static int leave_groups(void **state)
{
	proc_write_file(GROUPS "/cgroup.procs", "0");
	must("! [ -e " GROUPS "/m ] || find " GROUPS "/m -depth -type d -exec rmdir {} \\;");
	umount(GROUPS);
	return heal(state);
}

static void maps_names_the_machine_of_libvirt_and_systemd(void **state)
{
	static const char *const groups[][2] = {
		{ "machine-qemu\\x2d3\\x2dweb\\x2d1.scope/libvirt/emulator", "web-1" },
		{ "qemu-12-web.libvirt-qemu/emulator", "web" },
		{ "systemd-nspawn@box.service", "box" },
		{ "machine-box.scope", "box" },
		{ "machine.scope", NULL },
	};
	char path[256], command[300];
	size_t i;

	mkdir(GROUPS, 0755);
	if (mount("none", GROUPS, "cgroup2", 0, NULL))
		lacks("cgroup2");
	for (i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		snprintf(path, sizeof(path), GROUPS "/m/%s", groups[i][0]);
		snprintf(command, sizeof(command), "mkdir -p '%s'", path);
		must(command);
		strcat(path, "/cgroup.procs");
		ok(proc_write_file(path, "0"));
		machine_is(groups[i][1]);
	}
}

/* A mapping that consists of RAM, then device memory, then RAM. */
static void maps_lists_each_part_of_a_mapping(void **state)
{
	uint64_t iova = IOVA + 64 * MIB;
	json_t *json, *one;

	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 3 * PAGE, PAGE,
					 PROT_READ | PROT_WRITE, ram + PAGE));
	ok(vfio_dma_map(&rig.container, ram, iova, RAM_LEN, VFIO_DMA_RW));
	runs("maps", "--json", 0);
	json = as_json();
	part(json, iova, "pinned", PAGE);
	one = part(json, iova + PAGE, "mirror", PAGE);
	assert_int_equal(number(one, "offset"), 3 * PAGE);
	part(json, iova + 2 * PAGE, "pinned", RAM_LEN - 2 * PAGE);
	json_decref(json);
}

static struct emu emu;

static int with_emulated(void **state)
{
	ok(emu_load());
	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	ok(emu_open(&emu, &other, 0));
	return mapped(state);
}

static int without_emulated(void **state)
{
	emu_close(&emu);
	vfio_container_close(&other);
	emu_unload();
	return heal(state);
}

static void maps_lists_what_no_iommu_has(void **state)
{
	uint64_t iova = IOVA + 64 * MIB;
	json_t *json;

	ok(vfio_dma_map(&other, ram, iova, RAM_LEN, VFIO_DMA_RW));
	runs("maps", "--json", 0);
	json = as_json();
	part(json, iova, "none", RAM_LEN);
	json_decref(json);
}

static void maps_tells_states_apart(void **state)
{
	json_t *json, *one;

	ok(vfio_decoding(&rig.device, false));
	munmap(rig.map + RIG_HALF, RIG_HALF);
	sleep_ms(100);
	runs("maps", "--json", 0);
	json = as_json();
	one = find(json, "maps", "iova", IOVA);
	text_is(one, "state", "revoked+gone");
	assert_int_equal(number(one, "revoked"), RIG_HALF);
	assert_int_equal(number(one, "gone"), RIG_HALF);
	assert_int_equal(number(one, "revocations"), 1);
	assert_true(number(one, "away_ms") >= 100);
	assert_true(number(one, "age_ms") >= number(one, "away_ms"));
	json_decref(json);
	runs("maps", NULL, 0);
	says(" revoked+gone ");

	munmap(rig.map, RIG_HALF);
	runs("maps", "--json", 0);
	json = as_json();
	text_is(find(json, "maps", "iova", IOVA), "state", "gone");
	json_decref(json);
}

static void a_part_that_is_gone_is_not_live(void **state)
{
	struct vfio_tether_query q;

	munmap(rig.map + RIG_HALF, RIG_HALF);
	do {
		sleep_ms(5);
		ok(rig_query(IOVA, RIG_LEN, &q));
	} while (!q.live);
	runs("maps", NULL, 0);
	says(" live+gone ");
}

static void maps_can_be_of_one_device(void **state)
{
	runs("maps", "--device=" TARGET, 0);
	says(TARGET " 2+0x0");
	if (strstr(ctl.text, "pinned"))
		broken("RAM is no device: %s", ctl.text);
	runs("maps", "--device=" TARGET2, 0);
	if (strstr(ctl.text, TARGET))
		broken("another device: %s", ctl.text);
}

static void devices_have_the_names_of_lspci(void **state)
{
	static const char *const names[] = { "01:00.0", "1:0.0", "1:", "0:1:*.0",
					     "0000:01:00", "*:01:*.*" };
	static const char *const others[] = { "02:00.0", "2:", "0000:02:00.0" };
	char option[64];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(option, sizeof(option), "--device=%s", names[i]);
		runs("maps", option, 0);
		says(TARGET " 2+0x0");
		runs("devices", option, 0);
		says(TARGET);
	}
	for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
		snprintf(option, sizeof(option), "--device=%s", others[i]);
		runs("devices", option, 0);
		if (strstr(ctl.text, TARGET))
			broken("%s is not " TARGET, others[i]);
	}
}

static void no_such_device_is_an_error(void **state)
{
	static const char *const none[] = { "0000:7f:1f.7", "7f:", "1:0.0x",
					    "nonsense", "01:00.0.0", "1:0:0:1.0" };
	char option[64];
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(*none); i++) {
		snprintf(option, sizeof(option), "--device=%s", none[i]);
		runs("maps", option, 2);
		says("tetherctl: no such device: ");
		runs("devices", option, 2);
	}
}

static struct vfio_device idle;

/* In the child: a group and a container are open, and nothing is mapped. */
static bool hold_idle(void *unused)
{
	struct rlimit limit = { .rlim_cur = 64 * MIB, .rlim_max = 64 * MIB };

	vfio_container_close(&rig.container);
	return !setrlimit(RLIMIT_MEMLOCK, &limit) &&
	       !vfio_container_open(&other, VFIO_TYPE1v2_IOMMU) &&
	       !vfio_device_open(&idle, &other, TARGET2);
}

/* It answers who keeps a device busy that nobody maps. */
static void devices_names_those_who_map_nothing(void **state)
{
	json_t *json, *one;
	pid_t child;

	ok(vfio_device_bind(TARGET2));
	child = proc_spawn(hold_idle, NULL);
	assert_true(child > 0);
	runs("devices", "--json", 0);
	json = as_json();
	one = find(json, "users", "pid", child);
	assert_false(json_is_true(json_object_get(one, "maps_memory")));
	assert_true(number(one, "containers") > 0 && number(one, "devices") > 0);
	assert_true(json_array_size(json_object_get(one, "groups")) > 0);
	one = find(json, "users", "pid", getpid());
	assert_true(json_is_true(json_object_get(one, "maps_memory")));
	assert_true(number(one, "locked") >= (long long)RAM_LEN);
	json_decref(json);
	runs("devices", "--device=" TARGET2, 0);
	says("=" TARGET2);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	runs("devices", "--device=" TARGET2, 0);
	if (strstr(ctl.text, "=" TARGET2))
		broken("the process has ended: %s", ctl.text);
}

/* Names have to be in their order, and this one among them. */
static void is_sorted(const json_t *names, const char *name)
{
	const char *last = "", *one;
	bool found = false;
	size_t i;

	for (i = 0; i < json_array_size(names); i++) {
		one = json_string_value(json_array_get(names, i));
		if (!one || strcmp(last, one) >= 0)
			broken("not sorted: %s", ctl.text);
		found |= !strcmp(one, name);
		last = one;
	}
	if (!found)
		broken("%s is missing: %s", name, ctl.text);
}

static void devices_names_the_holders(void **state)
{
	json_t *json, *one;

	runs("devices", "--json", 0);
	json = as_json();
	assert_int_equal(json_array_size(json_object_get(json, "devices")), 1);
	one = find(json, "devices", "owner", getpid());
	text_is(one, "device", TARGET);
	assert_int_equal(number(one, "live"), RIG_LEN);
	/* The groups of edu, nvme, and the target itself. */
	assert_int_equal(json_array_size(json_object_get(one, "reached_by_groups")),
			 3);
	is_sorted(json_object_get(one, "reached_by"), TARGET);
	json_decref(json);
	runs("devices", NULL, 0);
	says(TARGET);
	says("16M");
}

/* For tests/check-monitoring, which gives them to a Prometheus. */
static void show_metrics(void)
{
	char *line, *rest = ctl.text;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			printf("# | %s\n", line);
}

/* The value of a metric in the output, whose name and labels this is. */
static double metric(const char *name)
{
	const char *at = ctl.text;
	size_t len = strlen(name);

	while ((at = strstr(at, name))) {
		if ((at == ctl.text || at[-1] == '\n') && at[len] == ' ')
			return strtod(at + len, NULL);
		at++;
	}
	broken("no metric %s in: %s", name, ctl.text);
	return 0;
}

static void metrics_are_text_for_a_collector(void **state)
{
	char line[256];

	ok(vfio_decoding(&rig.device, false));
	runs("metrics", NULL, 0);
	says("tether_in_force 1\n");
	says("tether_build_info{module=\"");
	if (strstr(ctl.text, "pid="))
		broken("a process has a label of its own: %s", ctl.text);
	assert_int_equal(metric("tether_mappings_available"),
			 metric("tether_dma_entry_limit") - metric("tether_segments"));
	assert_true(metric("tether_revoked_longest_seconds") > 0);
	if (getenv("SHOW_METRICS"))
		show_metrics();
	runs("metrics", "--per-device", 0);
	says("tether_strict 1\n");
	says("tether_containers 1\n");
	says("tether_bytes{state=\"revoked\"} 16777216\n");
	says("tether_bytes{state=\"live\"} 0\n");
	says("tether_device_bytes{device=\"" TARGET "\",pid=\"");
	snprintf(line, sizeof(line), "pid=\"%d\"", getpid());
	says(line);
}

/* The counters go on when the mappings that they count are gone. */
static void metrics_outlive_their_mappings(void **state)
{
	double off, restores, refusals, mapped, unmapped, seconds, count;
	struct vfio_tether_query q;

	runs("metrics", NULL, 0);
	off = metric("tether_revocations_total{cause=\"off\"}");
	restores = metric("tether_restores_total");
	refusals = metric("tether_refusals_total{errno=\"EEXIST\"}");
	mapped = metric("tether_mapped_bytes_total{kind=\"mirror\"}");
	unmapped = metric("tether_unmapped_bytes_total{kind=\"mirror\"}");
	seconds = metric("tether_outage_seconds_sum");
	count = metric("tether_outage_seconds_count");

	ok(vfio_decoding(&rig.device, false));
	sleep_ms(300);
	refused(EEXIST, vfio_dma_map(&rig.container, ram, IOVA, PAGE, VFIO_DMA_RW));
	ok(vfio_decoding(&rig.device, true));
	do {
		sleep_ms(5);
		ok(rig_query(IOVA, RIG_LEN, &q));
	} while (!q.live);
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));

	runs("metrics", NULL, 0);
	assert_true(metric("tether_revocations_total{cause=\"off\"}") == off + 1);
	assert_true(metric("tether_restores_total") == restores + 1);
	assert_true(metric("tether_refusals_total{errno=\"EEXIST\"}") == refusals + 1);
	assert_true(metric("tether_mapped_bytes_total{kind=\"mirror\"}") == mapped);
	assert_true(metric("tether_unmapped_bytes_total{kind=\"mirror\"}") ==
		    unmapped + RIG_LEN);
	assert_true(metric("tether_outage_seconds_sum") >= seconds + 0.3);
	assert_true(metric("tether_outage_seconds_count") == count + 1);
	assert_true(metric("tether_outage_seconds_bucket{le=\"+Inf\"}") == count + 1);
	assert_true(metric("tether_outage_seconds_bucket{le=\"0.2\"}") <= count);
}

/* Without root there is an error and no half output; a file keeps its old text. */
static void metrics_are_whole_or_none(void **state)
{
	static const char *const as_nobody[] = { "sh", "-c",
		"chmod 777 /tmp; chmod 755 /tests /tests/bin; "
		"su -s /bin/sh nobody -c 'PATH=/tests/bin:$PATH; tetherctl metrics 2>/dev/null | wc -c; "
		"tetherctl metrics 2>/dev/null; echo status $?'", NULL };
	static const char *const to_file[] = { "sh", "-c",
		"echo old >/tmp/tether.prom; umask 077; "
		"tetherctl metrics --output=/tmp/tether.prom && grep ^tether_in_force /tmp/tether.prom; "
		"stat -c %a /tmp/tether.prom; ls /tmp | grep -c tether.prom; "
		"tetherctl metrics --output=/nosuch/tether.prom; echo status $?", NULL };

	command_run(&ctl, as_nobody);
	says("0\nstatus 3\n");
	command_run(&ctl, to_file);
	says("tether_in_force 1\n644\n1\n");
	says("/nosuch/tether.prom: No such file or directory\nstatus 3\n");
}

static void doctor_names_who_holds_what(void **state)
{
	char line[128];
	json_t *json;

	/* doctor has to report that the guest's modprobe finds no backend. */
	runs("doctor", NULL, 1);
	says("ok   IOMMU is on");
	snprintf(line, sizeof(line), "BAD  modprobe finds no %s", backend_module());
	says(line);
	snprintf(line, sizeof(line), "ok   " TARGET ": mapped by test_tetherctl[%d]",
		 getpid());
	says(line);
	runs("doctor", "--json", 1);
	json = as_json();
	assert_true(number(json, "problems") > 0);
	assert_true(json_array_size(json_object_get(json, "checks")) > 4);
	json_decref(json);
}

/*
 * Puts a program into /sbin that prints the file with this text. The guest's shell runs
 * its own modinfo, except by the path.
 */
static void pretend(const char *program, const char *output)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sbin/%s", program);
	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\necho '%s'\n", output);
	fclose(file);
	assert_int_equal(chmod(path, 0755), 0);
}

static int end_pretence(void **state)
{
	must("rm -rf /sbin/lsinitramfs /boot; ln -sf /bin/busybox /sbin/modinfo");
	return 0;
}

static void doctor_sees_that_another_module_is_installed(void **state)
{
	pretend("modinfo", "0123456789ABCDEF");
	runs("doctor", NULL, 1);
	says("WARN the installed vfio_iommu_");
	says("(source 0123456789ABCDEF) is not the one that is loaded");
	must("printf '#!/bin/sh\\ncat /sys/module/vfio_iommu_*/srcversion\\n' >/sbin/modinfo");
	runs("doctor", NULL, 1);
	if (strstr(ctl.text, "is not the one that is loaded"))
		broken("it is the one that is loaded: %s", ctl.text);
}

static void doctor_blames_the_initramfs(void **state)
{
	const char *blame = "has the kernel's own vfio_iommu_type1 and no tether";

	must("mkdir -p /boot; : >/boot/initrd.img-$(uname -r)");
	pretend("lsinitramfs", "usr/lib/modules/x/kernel/drivers/vfio/vfio_iommu_type1.ko");
	runs("doctor", NULL, 1);
	says(on_tether() ? "WARN /boot/initrd.img-" : "BAD  /boot/initrd.img-");
	says(blame);
	pretend("lsinitramfs", "usr/lib/modules/x/updates/dkms/vfio_iommu_type1.ko");
	runs("doctor", NULL, 1);
	if (strstr(ctl.text, blame))
		broken("it has tether: %s", ctl.text);
	pretend("lsinitramfs", "usr/lib/modules/x/kernel/drivers/vfio/vfio.ko");
	runs("doctor", NULL, 1);
	if (strstr(ctl.text, blame))
		broken("it has neither: %s", ctl.text);
}

static void debugfs_has_the_usable_iovas(void **state)
{
	static const char *const summary[] = { "sh", "-c",
		"grep -Ex 'usable( 0x[0-9a-f]+-0x[0-9a-f]+)+' /sys/kernel/debug/vfio_type1/*/summary",
		NULL };

	assert_int_equal(command_run(&ctl, summary), 0);
}

static bool instance_is_left(void)
{
	DIR *dir = opendir("/sys/kernel/tracing/instances");
	struct dirent *entry;
	bool left = false;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		left |= !strncmp(entry->d_name, "tetherctl", 9);
	closedir(dir);
	return left;
}

static void watch_tells_what_happens(void **state)
{
	static const char *const argv[] = { "tetherctl", "watch", NULL };

	ok(command_start(&ctl, argv));
	ok(command_await(&ctl, "watching", START * patience()));
	ok(vfio_decoding(&rig.device, false));
	ok(command_await(&ctl, "cause=off", 5 * patience()));
	ok(vfio_decoding(&rig.device, true));
	ok(command_await(&ctl, " restore container=", 5 * patience()));
	assert_true(instance_is_left());
	assert_int_equal(command_finish(&ctl, SIGINT), 0);
	assert_false(instance_is_left());
}

/* The time is the event's, not that of its printing. */
static void watch_tells_when_it_happened(void **state)
{
	static const char *const argv[] = { "tetherctl", "watch", "--json", NULL };
	struct timespec before, after;
	struct tm tm = {};
	unsigned int us;
	char *line, *end;
	json_t *json;
	double when;

	ok(command_start(&ctl, argv));
	ok(command_await(&ctl, "watching", START * patience()));
	kill(ctl.pid, SIGSTOP);
	clock_gettime(CLOCK_REALTIME, &before);
	ok(vfio_decoding(&rig.device, false));
	clock_gettime(CLOCK_REALTIME, &after);
	sleep_ms(1500);
	kill(ctl.pid, SIGCONT);
	ok(command_await(&ctl, "\"off\"", 5 * patience()));
	assert_int_equal(command_finish(&ctl, SIGTERM), 0);
	assert_false(instance_is_left());

	line = strchr(ctl.text, '{');
	assert_non_null(line);
	line[strcspn(line, "\n")] = 0;
	json = json_loads(line, 0, NULL);
	assert_non_null(json);
	text_is(json, "event", "revoke");
	text_is(json, "cause", "off");
	text_is(json, "device", TARGET);
	assert_int_equal(number(json, "owner"), getpid());
	assert_int_equal(number(json, "iova"), IOVA);
	assert_int_equal(number(json, "size"), RIG_LEN);
	end = strptime(json_string_value(json_object_get(json, "time")),
		       "%Y-%m-%dT%H:%M:%S", &tm);
	assert_non_null(end);
	assert_int_equal(sscanf(end, ".%6u+0000", &us), 1);
	when = timegm(&tm) + us / 1e6;
	if (when < before.tv_sec + before.tv_nsec / 1e9 - 0.01 ||
	    when > after.tv_sec + after.tv_nsec / 1e9 + 0.01)
		broken("it happened from %ld to %ld, not at %s", before.tv_sec,
		       after.tv_sec, line);
	json_decref(json);
}

static void watch_can_be_of_one_device_or_container(void **state)
{
	static const char *const others[] = { "tetherctl", "watch", "-d", TARGET2, NULL };
	static const char *const none[] = { "tetherctl", "watch", "-c", "4000000", NULL };
	static const char *const this[] = { "tetherctl", "watch", "-d", "1:0.0", NULL };
	const char *const *const argvs[] = { others, none, this };
	size_t i;

	for (i = 0; i < 3; i++) {
		ok(command_start(&ctl, argvs[i]));
		ok(command_await(&ctl, "watching", START * patience()));
		ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
		ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
		if (i == 2)
			ok(command_await(&ctl, " map container=", 5 * patience()));
		else
			sleep_ms(500);
		assert_int_equal(command_finish(&ctl, SIGINT), 0);
		if (i < 2 && strstr(ctl.text, "container="))
			broken("%s %s shows: %s", argvs[i][2], argvs[i][3], ctl.text);
	}
}

/* A watch that was killed leaves its instance; the next one removes it. */
static void watch_leaves_nothing_behind(void **state)
{
	static const char *const argv[] = { "tetherctl", "watch", NULL };

	ok(command_start(&ctl, argv));
	ok(command_await(&ctl, "watching", START * patience()));
	command_finish(&ctl, SIGKILL);
	assert_true(instance_is_left());
	ok(command_start(&ctl, argv));
	ok(command_await(&ctl, "watching", START * patience()));
	assert_int_equal(command_finish(&ctl, SIGTERM), 0);
	assert_false(instance_is_left());
}

/* The file is longer than one buffer, so that the reader has to resume in the middle. */
static void every_mapping_is_listed_once(void **state)
{
	static const char *const count[] = { "sh", "-c",
		"tetherctl maps --json | grep -c '\"iova\": 137[45][0-9]*' ; "
		"tetherctl maps | sort | uniq -d | wc -l", NULL };
	unsigned int i;

	for (i = 0; i < MANY; i++)
		ok(vfio_dma_map(&rig.container, ram, IOVA + 64 * MIB + i * PAGE,
				PAGE, VFIO_DMA_RW));
	ok(command_run(&ctl, count));
	says("3002\n0\n");
}

#define CHANGES	2000u

/* debugfs files are read again and again while mappings are made and removed. */
static void reading_disturbs_nobody(void **state)
{
	static const char *const read_on[] = { "sh", "-c",
		"until [ -e /tmp/enough ]; do cat /sys/kernel/debug/vfio_type1/*/* && echo read && : >/tmp/read; done | grep -c ^read",
		NULL };
	unsigned int i, n;
	double start, took, longest = 0;

	for (i = 0; i < MANY; i++)
		ok(vfio_dma_map(&rig.container, ram, IOVA + 64 * MIB + i * PAGE,
				PAGE, VFIO_DMA_RW));
	ok(command_start(&ctl, read_on));
	/* One read of all files may take longer than CHANGES changes. */
	for (n = 0; n < CHANGES || (access("/tmp/read", F_OK) && n < 100 * CHANGES); n++) {
		i = n % MANY;
		start = now();
		ok(vfio_dma_unmap(&rig.container, IOVA + 64 * MIB + i * PAGE,
				  PAGE, NULL));
		ok(vfio_dma_map(&rig.container, ram, IOVA + 64 * MIB + i * PAGE,
				PAGE, VFIO_DMA_RW));
		took = now() - start;
		if (took > longest)
			longest = took;
	}
	close(creat("/tmp/enough", 0600));
	assert_int_equal(command_finish(&ctl, 0), 0);
	unlink("/tmp/enough");
	unlink("/tmp/read");
	printf("# %u unmaps and maps beside %d readings, the slowest %.1f ms\n",
	       n, atoi(ctl.text), 1e3 * longest);
	assert_true(atoi(ctl.text) > 0);
}

/* --- Beside the in-tree module ------------------------------------------------ */

#define UNSAFE		" allow_unsafe_interrupts=1"	/* as some machines need */
#define BESIDE		"/modules/beside/vfio_iommu_tether.ko"
#define CONF		"/etc/modprobe.d/test.conf"

static bool beside;	/* tether is beside the in-tree module in the other tests, too */
static pid_t holder;	/* a process whose container is the in-tree driver's */

/* In the child: one container that has a driver, two files of it, and one that has none. */
static bool hold_container(void *unused)
{
	return !vfio_container_open(&rig.container, VFIO_TYPE1v2_IOMMU) &&
	       !edu_open(&rig.edu, &rig.container, EDU_A, IOVA_A) &&
	       dup(rig.container.fd) >= 0 && open("/dev/vfio/vfio", O_RDWR) >= 0;
}

static void end_holder(void)
{
	if (holder > 0) {
		kill(holder, SIGKILL);
		waitpid(holder, NULL, 0);
	}
	holder = 0;
}

/* Tether is loaded beside the in-tree module while a process has a container of that one. */
static int with_beside(void **state)
{
	beside = backend_is_beside();
	rig_close(state);
	must("use-backend intree" UNSAFE);
	holder = proc_spawn(hold_container, NULL);
	assert_true(holder > 0);
	must("insmod " BESIDE UNSAFE);
	return 0;
}

static int without_beside(void **state)
{
	end_holder();
	unlink(CONF);
	unlink(GUARD);
	vfio_device_close(&rig.device);
	vfio_container_close(&rig.container);
	must(beside ? "use-backend beside" : "use-backend tether");
	return rig_reopen(state);
}

/* These tests unload the in-tree driver and load it again. */
static void need_module(void)
{
	if (in_tree_is_built_in())
		lacks("a module that is the in-tree driver");
}

/* Without kcmp() tetherctl cannot tell that two files of the holder are one container. */
static void need_kcmp(void)
{
	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0, 0) &&
	    errno == ENOSYS)
		lacks("kcmp()");
}

static void status_names_processes_of_the_in_tree_driver(void **state)
{
	json_t *json, *in_tree, *one;

	need_module();
	need_kcmp();
	runs("status", NULL, 0);
	says("in force  yes: but containers that were open");
	says("module    vfio_iommu_tether, beside the in-tree driver");
	says("strict_mmio_maps=Y");
	says("in-tree   module, containers: 1\n");
	must("dmesg | grep -q 'vfio_iommu_tether: version " TETHER_VERSION
	     ", strict_mmio_maps=Y$'");
	runs("status", "--json", 0);
	json = as_json();
	text_is(json, "module", "vfio_iommu_tether");
	text_is(json, "version", TETHER_VERSION "-tether");
	text_is(json_object_get(json, "parameters"), "strict_mmio_maps", "Y");
	in_tree = json_object_get(json, "in_tree");
	text_is(in_tree, "driver", "module");
	assert_int_equal(number(in_tree, "containers"), 1);
	assert_true(json_is_true(json_object_get(in_tree, "all_asked")));
	assert_int_equal(json_array_size(json_object_get(in_tree, "processes")), 1);
	one = find(in_tree, "processes", "pid", holder);
	text_is(one, "command", "test_tetherctl");
	assert_int_equal(number(one, "containers"), 1);
	assert_true(json_is_true(json_object_get(one, "certain")));
	json_decref(json);

	end_holder();
	runs("status", NULL, 0);
	says("in-tree   module, containers: 0, idle\n");
	says("next      rmmod vfio_iommu_type1");
	must("rmmod vfio_iommu_type1");
	runs("status", NULL, 0);
	says("in-tree   none\n");
	says("next      nothing");
}

/* A container of tether's is listed and counted; it is not the in-tree driver's. */
static void both_drivers_containers_are_counted(void **state)
{
	char line[64];

	need_module();
	need_kcmp();
	ok(vfio_container_open(&rig.container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&rig.device, &rig.container, TARGET2));
	runs("metrics", NULL, 0);
	says("tether_in_force 1\n");
	says("tether_beside 1\n");
	says("tether_containers 1\n");
	says("tether_refused_containers 0\n");
	says("tether_in_tree_containers 1\n");
	runs("maps", NULL, 0);
	runs("doctor", NULL, 1);
	says("BAD  modprobe finds no vfio_iommu_tether");
	snprintf(line, sizeof(line), "WARN test_tetherctl[%d] has containers",
		 holder);
	says(line);
	snprintf(line, sizeof(line), "test_tetherctl[%d] ", getpid());
	if (strstr(ctl.text, line))
		broken("a container of tether's is said to be in-tree's: %s",
		       ctl.text);
	vfio_device_close(&rig.device);
}

static void doctor_knows_options_of_the_in_tree_driver_alone(void **state)
{
	const char *warning = "WARN " CONF " sets disable_hugepages";

	need_module();
	must("mkdir -p /etc/modprobe.d");
	must("echo 'options vfio-iommu-type1 x=1 \\' >" CONF);
	must("echo disable_hugepages=1 >>" CONF);
	runs("doctor", NULL, 1);
	says(warning);
	must("echo options vfio_iommu_tether disable_hugepages=0 >>" CONF);
	runs("doctor", NULL, 1);
	if (strstr(ctl.text, warning))
		broken("it is set for both: %s", ctl.text);
	end_holder();
	runs("doctor", NULL, 1);
	says("WARN the in-tree driver is idle");
}

/* The vfio core asks the driver first that was loaded last. */
static void in_tree_that_is_loaded_last_is_found(void **state)
{
	need_module();
	end_holder();
	must("rmmod vfio_iommu_type1");
	must("insmod /modules/intree/vfio_iommu_type1.ko" UNSAFE);
	runs("status", NULL, 1);
	says("in force  no: the kernel's own vfio_iommu_type1 was loaded after tether");
	runs("metrics", NULL, 0);
	says("tether_in_force 0\n");
	ok(vfio_container_open(&rig.container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&rig.device, &rig.container, TARGET2));
	assert_int_equal(ioctl(rig.container.fd, VFIO_CHECK_EXTENSION,
			       VFIO_TETHER_EXTENSION), 0);
	vfio_device_close(&rig.device);
}

/* The module is loaded again while watch runs. */
static void watch_notices_a_reload(void **state)
{
	static const char *const argv[] = { "tetherctl", "watch", NULL };

	need_module();
	end_holder();
	ok(command_start(&ctl, argv));
	ok(command_await(&ctl, "watching", START * patience()));
	must("rmmod vfio_iommu_tether");
	ok(command_await(&ctl, "unloaded tether was unloaded", 10 * patience()));
	must("insmod " BESIDE UNSAFE);
	ok(command_await(&ctl, " loaded tether was loaded again", 10 * patience()));
	ok(vfio_container_open(&rig.container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&rig.device, &rig.container, TARGET2));
	refused(EFAULT, vfio_dma_map(&rig.container, (void *)PAGE, IOVA, PAGE,
				     VFIO_DMA_RW));
	ok(command_await(&ctl, " refuse container=1", 10 * patience()));
	vfio_device_close(&rig.device);
	assert_int_equal(command_finish(&ctl, SIGINT), 0);
}

/* Beside the in-tree module the guard can be turned on, and works when that has gone. */
static void guard_is_a_file_of_modprobe(void **state)
{
	const char *const as_text[] = { "tetherctl", "guard", "status", "--json",
					NULL };
	struct stat file;
	json_t *json;

	need_module();
	end_holder();
	runs("guard", "status", 1);
	says("guard     off: modprobe may load the kernel's own");
	runs("guard", "on", 0);
	says("on: nothing but tether");
	says("still loaded: rmmod vfio_iommu_type1");
	ok(stat(GUARD, &file));
	assert_int_equal(file.st_mode, S_IFREG | 0644);
	must("grep -q '^install vfio_iommu_type1 .* modprobe vfio_iommu_tether ' " GUARD);
	must("[ $(ls /etc/modprobe.d | grep -c guard) = 1 ]");
	runs("guard", "status", 1);
	says("guard     on: the in-tree driver was loaded before");
	must("rmmod vfio_iommu_type1");
	runs("guard", "status", 0);
	says("guard     on: nothing but tether");
	assert_int_equal(command_run(&ctl, as_text), 0);
	json = as_json();
	assert_true(json_is_true(json_object_get(json, "on")));
	assert_true(json_is_true(json_object_get(json, "works")));
	json_decref(json);
	runs("guard", "off", 0);
	says("off: modprobe loads the kernel's own");
	assert_int_equal(access(GUARD, F_OK), -1);
	runs("guard", "off", 0);
	says("it was not on");
}

static void guard_is_not_for_tether_in_place(void **state)
{
	if (backend_is_beside())
		lacks("tether in place of the in-tree driver");
	runs("guard", "on", 1);
	says("vfio_iommu_type1 is tether's own module");
	assert_int_equal(access(GUARD, F_OK), -1);
	runs("guard", "up", 2);
	runs("guard", NULL, 2);
	runs("status", "on", 2);
}

static const struct CMUnitTest tests[] = {
	TEST(status_tells_whether_it_is_in_force, NULL, NULL),
	TEST(a_link_to_iommufd_is_found, make_link, unmake_link),
	TEST(without_tether_there_is_nothing_to_read, NULL, NULL),
	TEST(usage_has_a_status_of_its_own, NULL, NULL),
	TEST(each_command_has_a_help_of_its_own, NULL, NULL),
	TEST(options_that_a_command_does_not_take_are_errors, NULL, NULL),
	TETHER(maps_lists_memory_by_kind, mapped, heal),
	TETHER(a_name_that_is_no_text_hides_nothing, mapped, heal),
	TETHER(maps_names_the_machine_of_qemu, with_command_line, without_command_line),
	TETHER(maps_names_the_machine_of_libvirt_and_systemd, mapped, leave_groups),
	TETHER(maps_lists_each_part_of_a_mapping, mapped, heal),
	TETHER(maps_lists_what_no_iommu_has, with_emulated, without_emulated),
	TETHER(maps_tells_states_apart, mapped, heal),
	TETHER(a_part_that_is_gone_is_not_live, mapped, heal),
	TETHER(maps_can_be_of_one_device, mapped, heal),
	TETHER(devices_have_the_names_of_lspci, mapped, heal),
	TETHER(no_such_device_is_an_error, mapped, heal),
	TETHER(devices_names_the_holders, mapped, heal),
	TETHER(devices_names_those_who_map_nothing, mapped, heal),
	TETHER(metrics_are_text_for_a_collector, mapped, heal),
	TETHER(metrics_outlive_their_mappings, mapped, heal),
	TETHER(metrics_are_whole_or_none, mapped, heal),
	TETHER(doctor_names_who_holds_what, mapped, heal),
	TETHER(doctor_sees_that_another_module_is_installed, NULL, end_pretence),
	TEST(doctor_blames_the_initramfs, NULL, end_pretence),
	TETHER(debugfs_has_the_usable_iovas, mapped, heal),
	TETHER(watch_tells_what_happens, mapped, heal),
	TETHER(watch_tells_when_it_happened, mapped, heal),
	TETHER(watch_can_be_of_one_device_or_container, mapped, heal),
	TETHER(watch_leaves_nothing_behind, mapped, heal),
	TETHER(every_mapping_is_listed_once, mapped, heal),
	TETHER(reading_disturbs_nobody, mapped, heal),
	TETHER(status_names_processes_of_the_in_tree_driver, with_beside,
	       without_beside),
	TETHER(both_drivers_containers_are_counted, with_beside, without_beside),
	TETHER(doctor_knows_options_of_the_in_tree_driver_alone, with_beside,
	       without_beside),
	TETHER(watch_notices_a_reload, with_beside, without_beside),
	TETHER(in_tree_that_is_loaded_last_is_found, with_beside, without_beside),
	TETHER(guard_is_a_file_of_modprobe, with_beside, without_beside),
	TETHER(guard_is_not_for_tether_in_place, NULL, NULL),
};

TEST_MAIN(tests, rig_open, rig_close)
