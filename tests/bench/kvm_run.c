/* When does a process first let a guest run? Loaded before libc (LD_PRELOAD), this notes the time of the
 * first KVM_RUN in the file that BENCH_NOTE names, and how long KVM_REINJECT_CONTROL took before that: one
 * call in which the kernel waits twice for readers (SRCU). The file is mapped when the program starts, so
 * that the note needs no system call later, in a jail that forbids them.
 *
 * Built as a program (-DLAUNCHER), it stands in for pyro-machine, which pyro starts with an empty
 * environment: it executes PROGRAM with PRELOAD and NOTE. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>

#ifdef LAUNCHER
int main(void)
{
	char *arguments[] = {PROGRAM, NULL};
	char *environment[] = {"LD_PRELOAD=" PRELOAD, "BENCH_NOTE=" NOTE, NULL};
	execve(PROGRAM, arguments, environment);
	return 127;
}
#else
static volatile struct {
	long long first_run_us;
	long long reinject_us;
} *noted;

__attribute__((constructor)) static void map_note(void)
{
	const char *path = getenv("BENCH_NOTE");
	int note = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (note < 0)
		return;
	void *page = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED, note, 0);
	if (page != MAP_FAILED)
		noted = page;
	close(note);
}

static long long now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	va_start(rest, request);
	void *argument = va_arg(rest, void *);
	va_end(rest);
	if (request == KVM_RUN && noted && !noted->first_run_us)
		noted->first_run_us = now_us();
	long long began = now_us();
	int done = syscall(SYS_ioctl, fd, request, argument);
	if (request == KVM_REINJECT_CONTROL && noted)
		noted->reinject_us = now_us() - began;
	return done;
}
#endif
