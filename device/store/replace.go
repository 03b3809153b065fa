package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"go.etcd.io/bbolt"
)

const (
	asideName = fileName + ".aside-" // and a number that rises
	keptAside = 3                    // damaged files kept for whoever wants to look into them

	carryBytes = 1 << 20 // in one transaction
	carryPairs = 1000    // in one transaction
)

// Replaced says that a damaged file was set aside, and what became of its content.
type Replaced struct {
	Reason   string
	SetAside string // path
	Carried  int    // pairs of key and value that the new file has from it
	Lost     int    // parts of it that could not be read: a page and all below it, or one pair
}

// replace sets the file at path aside and puts a new one in its place, with
// all that can be read of the old one. A crash in between leaves the old one
// where it was, or where takeBack finds it.
func replace(dir, path, next string, why error, log *slog.Logger) (*Replaced, error) {
	r := &Replaced{Reason: why.Error()}
	aside, err := asideFor(dir)
	if err != nil {
		return nil, fmt.Errorf("set the damaged store aside: %w", err)
	}
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove an unfinished store: %w", err)
	}
	if err := carryOver(path, next, r); isEnvironment(err) {
		return nil, fmt.Errorf("carry over what can be read of the damaged store: %w", err)
	} else if err != nil {
		log.Error("what the damaged store holds could not be carried over", "err", err)
		_ = os.Remove(next)
		r.Carried = 0
		b, _, err := openBolt(next)
		if err == nil {
			err = b.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("make a new store: %w", err)
		}
	}
	// Both names at a time where the file system can do that, so that there is
	// no moment without a store. Elsewhere next is to be found after a crash, see
	// takeBack.
	if err := os.Link(path, aside); err != nil {
		if err = SyncDir(dir); err == nil {
			err = os.Rename(path, aside)
		}
		if err != nil {
			return nil, fmt.Errorf("set the damaged store aside: %w", err)
		}
	}
	if err := moveTo(next, path); err != nil {
		return nil, fmt.Errorf("replace the damaged store: %w", err)
	}
	r.SetAside = aside
	return r, forgetNote(dir)
}

// takeBack gives the file that was set aside last its name again, where a crash
// left no store but one in the making: a file system without hard links has
// such a moment. A store that somebody has removed leaves none in the making.
func takeBack(dir, path, next string) error {
	_, noStore := os.Lstat(path)
	_, noNext := os.Lstat(next)
	if !errors.Is(noStore, os.ErrNotExist) || noNext != nil {
		return nil
	}
	all, err := asides(dir)
	if err != nil || len(all) == 0 {
		return err
	}
	return moveTo(all[len(all)-1], path)
}

// asideFor finds a name for one more file, and makes room for it among those
// kept.
func asideFor(dir string) (string, error) {
	all, err := asides(dir)
	if err != nil {
		return "", err
	}
	last := 0
	if n := len(all); n > 0 {
		last = asideNumber(all[n-1])
	}
	for len(all) >= keptAside {
		if err := os.Remove(all[0]); err != nil {
			return "", err
		}
		all = all[1:]
	}
	return filepath.Join(dir, asideName+strconv.Itoa(last+1)), nil
}

// asides lists the files set aside, oldest first. Numbers tell their age: a
// board without a clock has no dates.
func asides(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, asideName+"*"))
	sort.Slice(all, func(a, b int) bool { return asideNumber(all[a]) < asideNumber(all[b]) })
	return all, err
}

func asideNumber(file string) int {
	n, err := strconv.Atoi(filepath.Base(file)[len(asideName):])
	if err != nil {
		return 0
	}
	return n
}

// carryOver makes a new file of all that can be read of the one at path.
func carryOver(path, next string, r *Replaced) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, _, err := openBolt(next)
	if err != nil {
		return err
	}
	c := &carrier{db: dst, result: r}
	t, err := openTree(src)
	if err != nil {
		r.Lost++ // nothing tells where anything is
		err = nil
	} else if err = t.walk(c); err == nil {
		err = c.commit()
	} else if c.tx != nil {
		_ = c.tx.Rollback()
	}
	return errors.Join(err, dst.Close())
}

// carrier is the visitor that writes what it is shown into another file.
type carrier struct {
	db     *bbolt.DB
	result *Replaced

	tx    *bbolt.Tx
	bytes int
	pairs int
	at    [][]byte      // path of in
	in    *bbolt.Bucket // of tx; nil: to be found again
}

func (c *carrier) begin() (err error) {
	if c.tx != nil && c.bytes < carryBytes && c.pairs < carryPairs {
		return nil
	}
	if err := c.commit(); err != nil {
		return err
	}
	c.tx, err = c.db.Begin(true)
	return err
}

func (c *carrier) commit() error {
	tx := c.tx
	c.tx, c.in, c.bytes, c.pairs = nil, nil, 0, 0
	if tx == nil {
		return nil
	}
	return tx.Commit()
}

func (c *carrier) bucket(path [][]byte, sequence uint64) error {
	if err := c.begin(); err != nil {
		return err
	}
	c.at = nil
	for _, name := range path {
		c.at = append(c.at, bytes.Clone(name))
	}
	if err := c.enter(); err != nil {
		c.in = nil
		return c.damage(err)
	}
	return c.in.SetSequence(sequence)
}

// enter finds the bucket at c.at, or makes it.
func (c *carrier) enter() error {
	b, err := c.tx.CreateBucketIfNotExists(c.at[0])
	for _, name := range c.at[1:] {
		if err == nil {
			b, err = b.CreateBucketIfNotExists(name)
		}
	}
	c.in = b
	return err
}

func (c *carrier) pair(path [][]byte, k, v []byte) error {
	if err := c.begin(); err != nil {
		return err
	}
	if c.in == nil || !samePath(c.at, path) {
		c.at = nil
		for _, name := range path {
			c.at = append(c.at, bytes.Clone(name))
		}
		if err := c.enter(); err != nil {
			c.in = nil
			return c.damage(err)
		}
	}
	c.in.FillPercent = 1 // in order
	if err := c.in.Put(k, v); err != nil {
		return c.damage(err)
	}
	c.bytes += len(k) + len(v)
	c.pairs++
	c.result.Carried++
	return nil
}

func (c *carrier) damage(error) error {
	c.result.Lost++
	return nil
}

func samePath(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
