package console

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal of a width: what is written to the one side is read
// from the other.
func terminal(t *testing.T, columns uint16) (screen, side *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err == nil {
		side, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = side.Close() })
	return screen, side
}

// TestBar: it stays on one line of any terminal, goes away, and is nowhere else.
func TestBar(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{0, 200, 80, 60, 40, 20, 10, 1} {
		screen, side := terminal(t, columns)
		b := newBar(side, "bringing in")
		b.total = 50000
		for _, n := range []int{100, 25000, 50000} {
			b.shown = time.Time{}
			b.set(n)
		}
		b.end()
		_, _ = side.WriteString("|")
		var text string
		for piece := make([]byte, 4096); !strings.Contains(text, "|"); {
			n, err := screen.Read(piece)
			if err != nil {
				t.Fatal(err)
			}
			text += string(piece[:n])
		}
		limit := 80
		if columns > 0 {
			limit = int(columns)
		}
		lines := strings.Split(strings.TrimSuffix(text, "\r\x1b[K|"), "\r")
		for _, line := range lines {
			if utf8.RuneCountInString(line) >= limit || strings.Contains(line, "\n") {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
		if last := lines[len(lines)-1]; columns > 20 && !strings.HasSuffix(last, "50000 of 50000") {
			t.Errorf("%d columns: %q at the end", columns, last)
		}
	}
	if b := newBar(new(strings.Builder), "x"); b.out != nil {
		t.Error("a bar where no terminal is")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if b := newBar(w, "x"); b.out != nil {
		t.Error("a bar in a pipe")
	}
}
