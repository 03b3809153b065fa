package hub

import (
	"context"
	"errors"
	"sync"
)

const (
	queueJobs  = 4096
	queueBytes = 32 << 20
	batchJobs  = 1024 // of one transaction
	batchBytes = 4 << 20
)

var (
	errBusy    = errors.New("the hub cannot write its database at present")
	errStopped = errors.New("the hub is stopping")
)

// job is something for the writer. cost is what it holds in memory, in bytes.
type job interface{ cost() int }

// queue is what waits for the writer. Who comes when it is full waits, and is
// turned away while the database fails, so that connections stay alive.
type queue struct {
	mu      sync.Mutex
	room    sync.Cond
	jobs    []job
	bytes   int
	appends map[producer]*appendJob // of those in jobs
	failing bool
	closed  bool
	ready   chan struct{} // there is something, or it is closed
}

// producer names what an append belongs to.
type producer struct{ user, terminal string }

func newQueue() *queue {
	q := &queue{appends: make(map[producer]*appendJob), ready: make(chan struct{}, 1)}
	q.room.L = &q.mu
	return q
}

// push puts a job at the end.
func (q *queue) push(j job) error { return q.pushUntil(context.Background(), j) }

// pushUntil is push that waits for room no longer than ctx. An append takes the
// place of an older one of its producer: a terminal has one in flight, so it has
// given that one up, and the newer begins where its answer is missing.
func (q *queue) pushUntil(ctx context.Context, j job) error {
	defer context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.room.Broadcast()
	})()
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && (len(q.jobs) >= queueJobs || q.bytes >= queueBytes) {
		switch {
		case q.failing:
			return errBusy
		case ctx.Err() != nil:
			return ctx.Err()
		}
		q.room.Wait()
	}
	if q.closed {
		return errStopped
	}
	if a, isAppend := j.(*appendJob); isAppend {
		if old := q.appends[a.producer()]; old != nil {
			old.superseded = true
			a.again = old.again
			q.bytes -= old.bytes
			old.bytes, old.items = 0, nil
		}
		q.appends[a.producer()] = a
	}
	q.jobs = append(q.jobs, j)
	q.bytes += j.cost()
	q.signal()
	return nil
}

// add is push for the writer, which cannot wait for room: what follows from a job.
func (q *queue) add(j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.jobs = append(q.jobs, j)
		q.bytes += j.cost()
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take takes what has gathered, as much as makes a transaction. ok is false when
// nothing will come any more.
func (q *queue) take() (batch []job, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes, n := 0, 0
	for n < len(q.jobs) && len(batch) < batchJobs && bytes < batchBytes {
		j := q.jobs[n]
		n++
		q.bytes -= j.cost()
		if a, isAppend := j.(*appendJob); isAppend {
			if a.superseded {
				continue
			}
			delete(q.appends, a.producer())
		}
		bytes += j.cost()
		batch = append(batch, j)
	}
	if q.jobs = q.jobs[n:]; len(q.jobs) == 0 {
		q.jobs = nil
	}
	if len(q.jobs) > 0 || q.closed {
		q.signal()
	}
	if n > 0 {
		q.room.Broadcast()
	}
	return batch, len(batch) > 0 || n > 0 || !q.closed
}

// back puts the appends of a transaction that failed at the front again, but for
// those whose terminals have sent a newer one.
func (q *queue) back(batch []job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var again []job
	for _, j := range batch {
		a := j.(*appendJob)
		if newer := q.appends[a.producer()]; newer != nil {
			newer.again = true
			continue
		}
		q.appends[a.producer()] = a
		q.bytes += a.bytes
		a.again = true
		again = append(again, a)
	}
	if len(again) > 0 {
		q.jobs = append(again, q.jobs...)
		q.signal()
	}
}

func (q *queue) setFailing(failing bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = failing
	q.room.Broadcast()
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
	q.signal()
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs)
}
