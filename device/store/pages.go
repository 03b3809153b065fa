package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads bbolt's file format (version 2) with plain reads. bbolt itself
// trusts the file: it follows whatever a damaged page says through the mapping,
// partly on goroutines of its own, where a panic or fault ends the process; at
// every start again. So the file is checked here before bbolt gets it, and
// what can be read of a damaged one is read here.

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = 1<<64 - 1

	pageHeader = 16 // id u64, flags u16, count u16, overflow u32
	elemSize   = 16 // leaf: flags, pos, ksize, vsize u32; branch: pos, ksize u32, pgid u64
	bucketSize = 16 // root u64, sequence u64; an inline page follows where root is 0
	metaSize   = 64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketElem   = 0x01

	minPageSize  = 1 << 10
	maxPageSize  = 64 << 10 // the kernels' largest; bbolt takes over the kernel's
	maxPageBytes = 4 << 20  // of one page with its overflow; Herald's values are under 64 KiB
	maxDepth     = 64       // of pages below each other
	maxNesting   = 8        // of buckets in each other
)

// visitor takes what a tree holds, in order. A path is the names of the buckets
// from the outermost in; neither it nor keys and values outlive the call.
type visitor interface {
	bucket(path [][]byte, sequence uint64) error
	pair(path [][]byte, k, v []byte) error
	// damage hears of a part that cannot be read; nil goes on without it.
	damage(err error) error
}

// tree reads a file as its newest valid meta page describes it.
type tree struct {
	src      io.ReaderAt
	pageSize int64
	high     uint64 // pages from here on are not in use
	root     uint64
	freelist uint64
	seen     []uint64 // bit set of pages
	to       visitor
}

var errNoMeta = errors.New("neither of the two meta pages is valid")

// openTree finds the newest valid meta page: the first two pages are one each,
// and the one before the newest stands for the transaction before.
func openTree(src io.ReaderAt) (*tree, error) {
	var best *tree
	var newest uint64
	for at := int64(0); at <= maxPageSize; at = max(2*at, minPageSize) {
		t, txid, err := readMeta(src, at)
		if err == nil && (at == 0 || at == t.pageSize) && (best == nil || txid > newest) {
			best, newest = t, txid
		}
	}
	if best == nil {
		return nil, errNoMeta
	}
	return best, nil
}

func readMeta(src io.ReaderAt, at int64) (*tree, uint64, error) {
	var b [pageHeader + metaSize]byte
	if _, err := src.ReadAt(b[:], at); err != nil {
		return nil, 0, err
	}
	m := b[pageHeader:]
	n := binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8])
	if n.Uint32(m) != boltMagic || n.Uint32(m[4:]) != boltVersion || n.Uint64(m[56:]) != sum.Sum64() {
		return nil, 0, errNoMeta
	}
	t := &tree{
		src: src, pageSize: int64(n.Uint32(m[8:])),
		root: n.Uint64(m[16:]), freelist: n.Uint64(m[32:]), high: n.Uint64(m[40:]),
	}
	if t.pageSize < minPageSize || t.pageSize > maxPageSize || t.pageSize&(t.pageSize-1) != 0 {
		return nil, 0, fmt.Errorf("a page size of %d", t.pageSize)
	}
	return t, n.Uint64(m[48:]), nil
}

// walk hands everything to the visitor and returns the first error that it
// does not let pass.
func (t *tree) walk(to visitor) error {
	t.to, t.seen = to, nil
	if err := t.checkFreelist(); err != nil {
		if err := to.damage(err); err != nil {
			return err
		}
	}
	return t.page(t.root, nil, bounds{}, 0)
}

// checkFreelist looks at the list of free pages where the file has one; ours
// has none after its first commit.
func (t *tree) checkFreelist() error {
	if t.freelist == noFreelist {
		return nil
	}
	p, err := t.read(t.freelist)
	if err != nil {
		return err
	}
	n := uint64(p.count())
	ids := p[pageHeader:]
	if n == 0xFFFF && len(ids) >= 8 {
		n, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if p.flags() != freelistPage || n > uint64(len(ids)/8) {
		return fmt.Errorf("page %d: not a list of free pages", t.freelist)
	}
	for i := range n {
		if id := binary.NativeEndian.Uint64(ids[8*i:]); id < 2 || id >= t.high {
			return fmt.Errorf("page %d: lists page %d as free", t.freelist, id)
		}
	}
	return nil
}

// page is a page with its overflow.
type page []byte

func (p page) id() uint64       { return binary.NativeEndian.Uint64(p) }
func (p page) flags() uint16    { return binary.NativeEndian.Uint16(p[8:]) }
func (p page) count() int       { return int(binary.NativeEndian.Uint16(p[10:])) }
func (p page) overflow() uint64 { return uint64(binary.NativeEndian.Uint32(p[12:])) }

// read reads a page that nothing else has led to yet.
func (t *tree) read(id uint64) (page, error) {
	if id < 2 || id >= t.high {
		return nil, fmt.Errorf("page %d: not between 2 and %d", id, t.high)
	}
	p := make(page, t.pageSize)
	if _, err := t.src.ReadAt(p, int64(id)*t.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if p.id() != id {
		return nil, fmt.Errorf("page %d: it says that it is page %d", id, p.id())
	}
	over := p.overflow()
	if over >= t.high-id || int64(over) >= maxPageBytes/t.pageSize {
		return nil, fmt.Errorf("page %d: %d pages long", id, over+1)
	}
	for i := id; i <= id+over; i++ {
		if t.mark(i) {
			return nil, fmt.Errorf("page %d: two lead to page %d", id, i)
		}
	}
	if over == 0 {
		return p, nil
	}
	p = make(page, t.pageSize*int64(over+1))
	if _, err := t.src.ReadAt(p, int64(id)*t.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return p, nil
}

// mark tells whether a page was marked before. Its memory is bounded by the
// file: pages beyond its end cannot be read, and so not marked.
func (t *tree) mark(id uint64) (before bool) {
	w, bit := int(id/64), uint64(1)<<(id%64)
	if w >= len(t.seen) {
		t.seen = append(t.seen, make([]uint64, w+1-len(t.seen))...)
	}
	before = t.seen[w]&bit != 0
	t.seen[w] |= bit
	return before
}

// bounds are the keys between which a page's are to be: from min on (nil: any)
// and before max (nil: any).
type bounds struct{ min, max []byte }

func (b bounds) hold(k []byte) bool {
	return (b.min == nil || bytes.Compare(k, b.min) >= 0) && (b.max == nil || bytes.Compare(k, b.max) < 0)
}

// page visits a page and those below it.
func (t *tree) page(id uint64, path [][]byte, in bounds, depth int) error {
	if depth > maxDepth {
		return t.to.damage(fmt.Errorf("page %d: over %d pages deep", id, maxDepth))
	}
	p, err := t.read(id)
	if err != nil {
		return t.to.damage(err)
	}
	switch p.flags() {
	case leafPage:
		return t.leaf(p, path, in, depth)
	case branchPage:
		return t.branch(p, path, in, depth)
	}
	return t.to.damage(fmt.Errorf("page %d: of kind %#x", id, p.flags()))
}

// elem returns the part of a page at pos, counted from element i on.
func (p page) elem(i int, pos, size uint32) ([]byte, error) {
	from := pageHeader + uint64(i)*elemSize + uint64(pos)
	if to := from + uint64(size); from < pageHeader+uint64(p.count())*elemSize || to > uint64(len(p)) {
		return nil, fmt.Errorf("page %d: element %d lies outside of it", p.id(), i)
	}
	return p[from : from+uint64(size) : from+uint64(size)], nil
}

// fields are the four numbers of an element's header.
func (p page) fields(i int) (f [4]uint32) {
	h := p[pageHeader+i*elemSize:]
	for n := range f {
		f[n] = binary.NativeEndian.Uint32(h[4*n:])
	}
	return f
}

func (p page) fits() error {
	if pageHeader+p.count()*elemSize > len(p) {
		return fmt.Errorf("page %d: %d elements do not fit into it", p.id(), p.count())
	}
	return nil
}

func (t *tree) branch(p page, path [][]byte, in bounds, depth int) error {
	err := p.fits()
	if err == nil && p.count() == 0 {
		err = fmt.Errorf("page %d: leads to nothing", p.id())
	}
	if err != nil {
		return t.to.damage(err)
	}
	keys := make([][]byte, p.count())
	for i := range keys {
		f := p.fields(i)
		k, err := p.elem(i, f[0], f[1])
		if err == nil && (i > 0 && bytes.Compare(k, keys[i-1]) <= 0 || !in.hold(k)) {
			err = fmt.Errorf("page %d: key %d is out of order", p.id(), i)
		}
		if err != nil {
			return t.to.damage(err)
		}
		keys[i] = k
	}
	for i := range keys {
		below := bounds{keys[i], in.max}
		if i+1 < len(keys) {
			below.max = keys[i+1]
		}
		child := binary.NativeEndian.Uint64(p[pageHeader+i*elemSize+8:])
		if err := t.page(child, path, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) leaf(p page, path [][]byte, in bounds, depth int) error {
	if err := p.fits(); err != nil {
		return t.to.damage(err)
	}
	var last []byte
	for i := range p.count() {
		f := p.fields(i)
		k, v, err := p.leafElem(i, f)
		switch {
		case err != nil:
		case last != nil && bytes.Compare(k, last) <= 0, !in.hold(k):
			err = fmt.Errorf("page %d: key %d is out of order", p.id(), i)
		case f[0] > bucketElem, f[0] == 0 && len(path) == 0:
			err = fmt.Errorf("page %d: element %d is of kind %#x", p.id(), i, f[0])
		}
		if err != nil {
			if err := t.to.damage(err); err != nil {
				return err
			}
			continue
		}
		last = k
		if f[0] == bucketElem {
			err = t.bucket(append(path[:len(path):len(path)], k), v, depth)
		} else {
			err = t.to.pair(path, k, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p page) leafElem(i int, f [4]uint32) (k, v []byte, err error) {
	if k, err = p.elem(i, f[1], f[2]); err != nil {
		return nil, nil, err
	}
	if len(k) == 0 || uint64(f[1])+uint64(f[2]) > 1<<32-1 {
		return nil, nil, fmt.Errorf("page %d: element %d has no key", p.id(), i)
	}
	v, err = p.elem(i, f[1]+f[2], f[3])
	return k, v, err
}

// bucket visits a bucket, whose header and, if it is small, content is v.
func (t *tree) bucket(path [][]byte, v []byte, depth int) error {
	if len(v) < bucketSize || len(path) > maxNesting {
		return t.to.damage(fmt.Errorf("the bucket %q is not one", path[len(path)-1]))
	}
	root, sequence := binary.NativeEndian.Uint64(v), binary.NativeEndian.Uint64(v[8:])
	if root == 0 && len(v) < bucketSize+pageHeader {
		return t.to.damage(fmt.Errorf("the bucket %q is cut short", path[len(path)-1]))
	}
	if err := t.to.bucket(path, sequence); err != nil {
		return err
	}
	if root != 0 {
		return t.page(root, path, bounds{}, depth+1)
	}
	inline := page(v[bucketSize:])
	if inline.flags() != leafPage {
		return t.to.damage(fmt.Errorf("the bucket %q holds a page of kind %#x", path[len(path)-1], inline.flags()))
	}
	return t.leaf(inline, path, bounds{}, depth+1)
}

// checker is the visitor that finds the first damage.
type checker struct{}

func (checker) bucket([][]byte, uint64) error { return nil }
func (checker) pair(_ [][]byte, _, _ []byte) error {
	return nil
}
func (checker) damage(err error) error { return err }
