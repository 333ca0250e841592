/* build.rs reads this after the preprocessor. */
#include <features.h>
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 36)
relative relocations may be packed
#endif
#endif
