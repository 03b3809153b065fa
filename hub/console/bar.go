package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bar shows on a terminal how far long work has come; elsewhere nothing.
type bar struct {
	out   io.Writer // nil: nobody looks
	what  string
	total int
	shown time.Time
}

func newBar(out io.Writer, what string) *bar {
	b := &bar{what: what}
	if f, ok := out.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			b.out = out
		}
	}
	return b
}

const barWidth = 30

func (b *bar) set(done int) {
	if b.out == nil || b.total == 0 || done < b.total && time.Since(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = time.Now()
	full := barWidth * done / b.total
	fmt.Fprintf(b.out, "\r%s [%s%s] %d of %d", b.what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done, b.total)
}

// end takes the bar away.
func (b *bar) end() {
	if b.out != nil && !b.shown.IsZero() {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
