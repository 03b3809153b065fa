package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	barWidth = 24
	barEvery = 100 * time.Millisecond
)

// bar shows on a terminal how far something long is. Elsewhere it shows nothing.
type bar struct {
	sh    *shell
	what  string
	total int64
	done  int64
	began time.Time
	shown time.Time
}

func (sh *shell) newBar(what string, total int64) *bar {
	return &bar{sh: sh, what: what, total: total, began: sh.now()}
}

// reader counts what is read through it.
func (b *bar) reader(r io.Reader) io.Reader { return &counted{r, b} }

type counted struct {
	r io.Reader
	b *bar
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.b.add(int64(n))
	return n, err
}

func (b *bar) add(n int64) {
	b.done += n
	if now := b.sh.now(); b.sh.terminal && now.Sub(b.shown) >= barEvery {
		b.shown = now
		b.show()
	}
}

func (b *bar) show() {
	part := 0
	if b.total > 0 {
		part = int(min(b.done, b.total) * barWidth / b.total)
	}
	rate := ""
	if s := b.sh.now().Sub(b.began).Seconds(); s > 0.5 {
		rate = "  " + size(int64(float64(b.done)/s)) + "/s"
	}
	fmt.Fprintf(b.sh.err, "\r%s [%s%s] %s of %s%s\x1b[K", printable(b.what), strings.Repeat("=", part), strings.Repeat(" ", barWidth-part),
		size(b.done), size(b.total), rate)
}

// end takes the bar away.
func (b *bar) end() {
	if b.sh.terminal && !b.shown.IsZero() {
		fmt.Fprint(b.sh.err, "\r\x1b[K")
	}
}
