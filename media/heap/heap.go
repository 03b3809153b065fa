// Package heap keeps the memory of the codecs' C code small. glibc gives each thread
// an arena of its own and keeps what was freed in it, so a board that has had a few
// calls, whose encoders ran on whatever threads Go chose, would hold several times
// what one call needs.
package heap

/*
#include <malloc.h>

static void tune(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
	// Pictures and encoders get memory of their own, which goes back when it is freed.
	mallopt(M_MMAP_THRESHOLD, 64 * 1024);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
#endif
}

static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"

import "runtime/debug"

// Tune is called before C code begins to allocate.
func Tune() { C.tune() }

// Trim gives back what is not used at present, Go's memory too.
func Trim() {
	debug.FreeOSMemory()
	C.trim()
}
