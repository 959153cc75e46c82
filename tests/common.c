// SPDX-License-Identifier: GPL-2.0-only
/*
 * Selects and runs the tests of a program, and reports their failures: see common.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "common.h"
#include "emu.h"
#include "vfio.h"

#define TEST_TIMEOUT	60	/* seconds for one test */

int with_emu(void **state)
{
	return emu_load();
}

int without_emu(void **state)
{
	return emu_unload();
}

bool on_tether(void)
{
	return !access("/sys/kernel/debug/vfio_type1/stats", F_OK);
}

int wrap_error(struct vfio_container *c)
{
	bool overflow = on_tether() ||
			vfio_dma_unmap(c, 0 - PAGE, 2 * PAGE, NULL) == -EOVERFLOW;

	return overflow ? EOVERFLOW : EINVAL;
}

bool kernel_before(unsigned int major, unsigned int minor)
{
	unsigned int its_major = 0, its_minor = 0;
	struct utsname name;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &its_major, &its_minor),
			 2);
	return its_major < major || (its_major == major && its_minor < minor);
}

bool on_arm(void)
{
	struct utsname name;

	assert_int_equal(uname(&name), 0);
	return !strcmp(name.machine, "aarch64");
}

void lacks(const char *what)
{
	printf("# LACKS: %s\n", what);
	fflush(stdout);
	skip();
}

void want_huge_pages(void *memory, size_t size)
{
	int ret = madvise(memory, size, MADV_HUGEPAGE);

	if (ret && errno == EINVAL)
		lacks("transparent huge pages");
	assert_int_equal(ret, 0);
}

static void fail_with(const char *kind, const char *file, int line,
		      const char *format, va_list args)
{
	printf("# %s: ", kind);
	vprintf(format, args);
	printf(" (%s:%d)\n", file, line);
	fflush(stdout);
	_fail(file, line);
}

void hole_at(const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_with("HOLE", file, line, format, args);
	va_end(args);
}

void broken_at(const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_with("BROKEN", file, line, format, args);
	va_end(args);
}

/*
 * SIGALRM: the running test hangs. End the whole program, since other threads of the
 * test may still run or hang, and would disturb the next tests. tests/run reports the
 * tests that were announced in the TAP plan but did not run.
 */
static void timed_out(int signal)
{
	static const char text[] = "# BROKEN: the test hangs, giving up\n";

	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(125);
	_exit(124);
}

/* Runs before each test's own setup, and starts the test's timeout. */
static int arm(void **state)
{
	const struct CMUnitTest *test = *state;

	alarm(TEST_TIMEOUT * patience());
	*state = NULL;
	return test->setup_func ? test->setup_func(state) : 0;
}

static bool is_class(const struct CMUnitTest *test, const char *class)
{
	return !strncmp(test->name, class, strlen(class));
}

static bool wanted(const struct CMUnitTest *test, const char *only)
{
	if (is_class(test, "tether: ") && !on_tether())
		return false;
	return !only || strstr(test->name, only);
}

static int list(const struct CMUnitTest *tests, size_t count, const char *class)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (is_class(&tests[i], class))
			puts(tests[i].name);
	return 0;
}

int test_main(int argc, char **argv, const struct CMUnitTest *tests,
	      size_t count, CMFixtureFunction setup, CMFixtureFunction teardown)
{
	struct CMUnitTest *chosen = calloc(count, sizeof(*chosen));
	const char *only = NULL;
	size_t i, n = 0;

	if (!chosen)
		return 125;
	if (argc == 2 && !strcmp(argv[1], "--list"))
		return list(tests, count, "");
	if (argc == 2 && !strcmp(argv[1], "--list-security"))
		return list(tests, count, "security: ");
	if (argc == 3 && !strcmp(argv[1], "--only")) {
		only = argv[2];
	} else if (argc != 1) {
		fprintf(stderr, "usage: %s [--list | --list-security | --only TEXT]\n",
			argv[0]);
		return 2;
	}
	for (i = 0; i < count; i++) {
		if (!wanted(&tests[i], only))
			continue;
		chosen[n] = tests[i];
		chosen[n].setup_func = arm;
		chosen[n].initial_state = (void *)&tests[i];
		n++;
	}

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, timed_out);
	alarm(TEST_TIMEOUT * patience());
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests(argv[0], chosen, n, setup, teardown);
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}
