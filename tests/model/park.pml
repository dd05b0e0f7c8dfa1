/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core of docs/pending-faults.md: one page, one QP that wants it, somebody who asks
 * for it ahead, the work of the page fault, userfaultfd and its handler, an
 * invalidation, and the end of the QP or of the memory region, each at any moment.
 *
 * An atomic or d_step is what the code does under one lock; which one is said. The
 * names are those of rxe_odp_pagefault.c.
 *
 * -DCANCEL	the handler never answers, and the QP is destroyed
 * -DDEREG	the handler never answers, and the region is deregistered
 * neither	the handler answers in the end
 *
 * -DLOST_WAKE, -DEARLY_FREE, -DNO_KICK	plant a mistake that has to be found
 */

#define PAGEFAULTS	3	/* one after the other, each allocated anew */
#define NONE		PAGEFAULTS

typedef pagefault {
	bool pending;		/* in odp->pagefaults; faults_lock */
	bool ended;		/* running */
	bool running;		/* the mutex */
	bool queued;		/* userfault_waiter_queued(); running */
	bool on_queue;		/* of userfaultfd, not woken yet; its lock */
	bool work;		/* its work is queued */
	byte refs;
};

pagefault pf[PAGEFAULTS];
byte used;			/* that were allocated */
byte current = NONE;		/* the one that is pending */

bool page;			/* in the page table of the process */
bool entry;			/* in the table of the memory region; odp->lock */
byte parked_on = NONE;		/* park->pagefault; faults_lock */
bool failed;			/* park->err */
bool closed;			/* odp->closed */
bool destroying;		/* !qp->valid */
bool scheduled;			/* the QP's task; its own lock */
bool done;			/* the access was executed, or refused */
bool gone;			/* the task has let go of everything */
bool answered;			/* the handler has, for good */

inline touch(i)
{
	assert(pf[i].refs > 0)
}

/* rxe_odp_pagefault_kick(): queue_work() does nothing for a work that is queued. */
inline kick(i)
{
	touch(i);
	if
	:: pf[i].work -> skip
	:: else -> pf[i].work = true; pf[i].refs++
	fi
}

inline put(i)
{
	touch(i);
	pf[i].refs--
}

/* What the QP's task does each time that it runs, until the access is done. */
active proctype task()
{
	byte i;

	scheduled = true;
end_idle:
	do
	:: atomic { scheduled && !gone -> scheduled = false };
	   if
	   :: destroying ->
		d_step { parked_on = NONE; gone = true }	/* rxe_odp_unpark() */
	   :: !destroying && done -> skip
	   :: !destroying && !done && parked_on != NONE -> skip
	   :: else ->
		/* rxe_odp_lock_range(): table, then rxe_odp_park() */
		if
		:: closed || failed -> done = true	/* the key is looked up again */
		:: else ->
			if
			:: entry -> done = true
			:: else ->
				atomic {	/* faults_lock */
					if
					:: current == NONE && used < PAGEFAULTS ->
						i = used;
						used++;
						current = i;
						pf[i].pending = true;
						pf[i].refs = 1;
						kick(i);
						parked_on = i
					:: current != NONE ->
						touch(current);
						parked_on = current
					:: else ->
						/* More than the model has: try again. */
						scheduled = true
					fi
				}
			fi
		fi
	   fi
	od
}

/* rxe_odp_ahead_page(): asked for by nobody yet. */
active proctype ahead()
{
	atomic {	/* faults_lock */
		if
		:: current == NONE && used < PAGEFAULTS ->
			current = used;
			used++;
			pf[current].pending = true;
			pf[current].refs = 1;
			kick(current)
		:: else
		fi
	}
}

/* rxe_odp_pagefault_run(), by whichever worker: the same work does not run twice. */
proctype worker(byte i)
{
	bool err, unwanted;

end_idle:
	do
	:: atomic { pf[i].work -> pf[i].work = false };
	   touch(i);
	   atomic { !pf[i].running -> pf[i].running = true };

	   /* userfault_waiter_end(): under the lock of userfaultfd */
	   unwanted = false;
	   if
	   :: pf[i].queued ->
		d_step {
			unwanted = !pf[i].on_queue;	/* woken */
			pf[i].on_queue = false;
			pf[i].queued = false;
			put(i)
		}
	   :: else
	   fi;
	   /* rxe_odp_pagefault_unwanted(): faults_lock */
	   unwanted = unwanted && parked_on != i;

	   if
	   :: pf[i].ended -> skip
	   :: else ->
		err = false;
		if
		:: closed -> err = true; goto finish
		:: else
		fi;
		if
		:: unwanted -> goto look
		:: else
		fi;
		/* The page fault; userfaultfd adds the waiter before it looks. */
		if
		:: page -> skip
		:: else ->
			pf[i].on_queue = true;
			if
			:: page ->
				/* It need not have been woken. */
				if
				:: atomic { pf[i].on_queue -> pf[i].on_queue = false }
				:: else
				fi
			:: else ->
				pf[i].queued = true;
#ifndef EARLY_FREE
				pf[i].refs++;
#endif
				goto out
			fi
		fi;
look:
		/* Published under odp->lock if nothing was invalidated meanwhile. */
		atomic { entry = page };
finish:
#ifndef LOST_WAKE
		atomic {	/* faults_lock */
			pf[i].ended = true;
			pf[i].pending = false;
			if
			:: current == i -> current = NONE
			:: else
			fi;
			if
			:: parked_on == i ->
				parked_on = NONE;
				failed = err;
				scheduled = true
			:: else
			fi
		};
#else
		/* The parked are told before it is taken out. */
		atomic {
			if
			:: parked_on == i ->
				parked_on = NONE;
				failed = err;
				scheduled = true
			:: else
			fi
		};
		atomic {
			pf[i].ended = true;
			pf[i].pending = false;
			if
			:: current == i -> current = NONE
			:: else
			fi
		};
#endif
		atomic { put(i) }
	   fi;
out:
	   pf[i].running = false;
	   atomic { put(i) }
	od
}

inline wake_all()
{
	/* Under the lock of userfaultfd: off the queue, and queue a work, no more. */
	for (n : 0 .. PAGEFAULTS - 1) {
		atomic {
			if
			:: pf[n].on_queue -> pf[n].on_queue = false; kick(n)
			:: else
			fi
		}
	}
}

/* userfaultfd's handler. A wake without a page, and the page without a wake yet. */
active proctype handler()
{
	byte n;

	if
	:: wake_all()
	:: skip
	fi;
#if !defined(CANCEL) && !defined(DEREG)
	page = true;
	answered = true;
	wake_all()
#endif
}

/* munmap(), MADV_DONTNEED: the entry goes, and what is pending there runs again. */
active proctype invalidate()
{
	if
	:: answered -> skip
	:: else ->
		atomic { entry = false };
		atomic {	/* faults_lock */
			if
			:: current != NONE -> kick(current)
			:: else
			fi
		}
	fi
}

#ifdef CANCEL
active proctype destroy()
{
	atomic { destroying = true; scheduled = true };
	/* rxe_cleanup() waits until the task holds nothing. */
	gone;
	assert(parked_on == NONE)
}
#endif

#ifdef DEREG
active proctype dereg()
{
	closed = true;
#ifndef NO_KICK
	atomic {	/* rxe_odp_close(): faults_lock */
		if
		:: current != NONE -> kick(current)
		:: else
		fi
	}
#endif
}
#endif

init {
	byte n;

	for (n : 0 .. PAGEFAULTS - 1) {
		run worker(n)
	}
}

#if defined(CANCEL)
ltl ends { <> gone }
#else
ltl ends { <> done }
#endif
