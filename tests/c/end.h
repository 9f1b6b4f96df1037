/* How a thread ends that does not return from where it is. */

#ifndef END_H
#define END_H

#include "kit.h"

#include <sys/syscall.h>

/* A stack that is left without returning through it: the address sanitizer must know. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ADDRESSES_ARE_CHECKED
#endif
#elif defined __SANITIZE_ADDRESS__
#define ADDRESSES_ARE_CHECKED
#endif
#ifdef ADDRESSES_ARE_CHECKED
void __asan_handle_no_return(void);
#define LEAVE_STACK() __asan_handle_no_return()
#else
#define LEAVE_STACK() (void)0
#endif

enum way { BY_RETURN, BY_EXIT, BY_CANCEL, WAYS };

static enum way the_way;

/* A cancellation is pending: acts upon it. */
static inline void be_cancelled(void)
{
    LEAVE_STACK();
    pthread_testcancel();
    FAIL("the thread was not cancelled");
}

/* Ends the thread in `the_way`; by return is left to the caller. Never the main thread: the program would end with the last
   other one, as if all had been well. */
static inline void end_thread(void)
{
    CHECK(syscall(SYS_gettid) != getpid());
    if (the_way == BY_EXIT) {
        LEAVE_STACK();
        pthread_exit(NULL);
    }
    if (the_way == BY_CANCEL) {
        int before;
        /* Threads of the library can't be cancelled unless a callback asks for it. */
        CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before), 0);
        CHECK_EQ(pthread_cancel(pthread_self()), 0);
        be_cancelled();
    }
}

#endif
