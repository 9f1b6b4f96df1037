/* Wrong on purpose: what valgrind must report. */
#include <stdlib.h>

#include "microbatch.h"

int main(void)
{
    char *volatile gone = malloc(7);
    if (mb_abi_version() == 0 || gone == NULL) return 1;
#ifdef LEAK
    gone = NULL;
    return 0;
#else
    free(gone);
    return *(volatile char *)gone == 1;
#endif
}
