/* When does a process first let a guest run? Loaded before libc (LD_PRELOAD), this notes the time of the
 * first KVM_RUN in the file that BENCH_NOTE names. The file is mapped when the program starts, so that the
 * note needs no system call later, in a jail that forbids them.
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
static volatile long long *first_run_us;

__attribute__((constructor)) static void map_note(void)
{
	const char *path = getenv("BENCH_NOTE");
	int note = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (note < 0)
		return;
	void *page = mmap(NULL, sizeof *first_run_us, PROT_READ | PROT_WRITE, MAP_SHARED, note, 0);
	if (page != MAP_FAILED)
		first_run_us = page;
	close(note);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	va_start(rest, request);
	void *argument = va_arg(rest, void *);
	va_end(rest);
	if (request == KVM_RUN && first_run_us && !*first_run_us) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		*first_run_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
	}
	return syscall(SYS_ioctl, fd, request, argument);
}
#endif
