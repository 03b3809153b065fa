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
	fmt.Fprint(b.out, "\r", b.line(done, b.columns()-1))
}

// columns is how wide the terminal is.
func (b *bar) columns() int {
	if f, ok := b.out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return 80
}

// line is what is shown, in so many columns: one that is longer would not be
// overwritten but scroll.
func (b *bar) line(done, columns int) string {
	count := fmt.Sprintf("%d of %d", done, b.total)
	width := min(barWidth, columns-len(b.what)-len(count)-len(" [] "))
	if width < barWidth/6 {
		if count = b.what + " " + count; len(count) > columns {
			count = strings.TrimPrefix(count, b.what+" ")
		}
		return count[:min(len(count), columns)]
	}
	full := width * done / b.total
	return fmt.Sprintf("%s [%s%s] %s", b.what, strings.Repeat("#", full), strings.Repeat(".", width-full), count)
}

// end takes the bar away.
func (b *bar) end() {
	if b.out != nil && !b.shown.IsZero() {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
