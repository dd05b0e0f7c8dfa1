/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_THREAD_H
#define UFFDMR_THREAD_H

#include <pthread.h>
#include <signal.h>

/*
 * A thread of the library's: signals are for the program's own, but for those of what
 * the thread itself does, in a function of the program's as one example. Returns an
 * errno.
 */
static inline int thread_start(pthread_t *thread, void *(*run)(void *arg),
			       void *arg)
{
	sigset_t blocked, before;
	int err;

	sigfillset(&blocked);
	sigdelset(&blocked, SIGSEGV);
	sigdelset(&blocked, SIGBUS);
	sigdelset(&blocked, SIGFPE);
	sigdelset(&blocked, SIGILL);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	err = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

#endif
