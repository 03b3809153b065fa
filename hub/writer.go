package hub

import (
	"context"
	"errors"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// writeJob is any other thing to be written than what terminals ask for.
type writeJob struct {
	f    func(context.Context, Caller) error
	done chan error // takes one
}

func (*writeJob) cost() int { return 256 }

// write runs f in the writer's next transaction, within a savepoint of its own,
// and waits for the commit.
func (h *Hub) write(f func(context.Context, *store.Tx) error) error {
	return h.act(func(ctx context.Context, c Caller) error { return f(ctx, c.tx) })
}

// act is write for what has something to hand out: its Caller is no terminal, but
// the hub itself.
func (h *Hub) act(f func(context.Context, Caller) error) error {
	j := &writeJob{f, make(chan error, 1)}
	if err := h.queue.push(j); err != nil {
		return err
	}
	return <-j.done
}

// writer owns the write transaction. It takes all that has gathered into one,
// commits, hands the results to the emitter and goes on while that sends them.
type writer struct {
	hub     *Hub
	results chan *results
	plan    planner

	failing bool
	pause   time.Duration
}

// results are what a transaction gives out once it is committed, in order.
type results struct {
	out     []emission
	done    []func() // who waits for the commit itself
	entries int
}

// run works until the queue is closed and empty. When ctx has ended it does not
// wait for a database that fails, when hard has not even for a transaction.
func (w *writer) run(ctx, hard context.Context) {
	defer close(w.results)
	for {
		batch, ok := w.hub.queue.take()
		switch {
		case !ok:
			return
		case len(batch) == 0:
			<-w.hub.queue.ready
			continue
		}
		w.do(hard, batch)
		if w.failing {
			if w.hub.cfg.pause(ctx, w.pause) != nil {
				w.hub.queue.close()
				w.abandon()
				return
			}
			w.pause = min(2*w.pause, 2*time.Second)
		}
	}
}

// do brings a batch into the database, or answers those that cannot wait.
func (w *writer) do(ctx context.Context, batch []job) {
	start := time.Now()
	res, err := w.transact(ctx, batch)
	switch {
	case err == nil:
		w.recovered()
		w.hub.metrics.commit(time.Since(start), len(batch), res.entries)
		for _, done := range res.done {
			done()
		}
		w.results <- res
	case store.Outage(err):
		w.fails(err)
		w.hub.queue.back(w.refuse(batch, err))
	case errors.Is(err, store.ErrRewound): // the next start begins an era, which boards and hub go by
		select {
		case w.hub.broken <- err:
		default:
		}
		w.fails(err)
		w.hub.queue.back(w.refuse(batch, err))
	case len(batch) > 1: // one of them is to blame: the others must not suffer
		for _, j := range batch {
			w.do(ctx, []job{j})
		}
	default:
		// An append stays without an answer: the answer would make its terminal
		// give the messages up, and the fault is the hub's.
		w.hub.metrics.failed.Inc()
		w.hub.log.Error("job failed", "job", describe(batch[0]), "err", err)
		w.refuse(batch, err)
	}
}

func describe(j job) string {
	switch j := j.(type) {
	case *appendJob:
		return "append of " + j.s.user + "/" + j.s.terminal
	case *callJob:
		return "call " + j.method + " of " + j.s.user + "/" + j.s.terminal
	}
	return "write"
}

// refuse answers the jobs of a failed transaction, but for appends, which are
// returned.
func (w *writer) refuse(batch []job, err error) (appends []job) {
	for _, j := range batch {
		switch j := j.(type) {
		case *appendJob:
			appends = append(appends, j)
		case *callJob:
			w.hub.refuseCall(j, err)
		case *writeJob:
			j.done <- err
		case *probe:
			close(j.done)
		}
	}
	return appends
}

// abandon answers what is left when the hub stops while its database fails.
func (w *writer) abandon() {
	for {
		batch, ok := w.hub.queue.take()
		if !ok {
			return
		}
		w.refuse(batch, errStopped)
	}
}

func (w *writer) fails(err error) {
	w.hub.metrics.outages.Inc()
	if !w.failing {
		w.failing, w.pause = true, 100*time.Millisecond
		w.hub.setFailing(err)
		w.hub.queue.setFailing(true)
		w.hub.log.Error("the database cannot be written: messages wait at their boards until it can", "err", err)
	}
}

func (w *writer) recovered() {
	if w.failing {
		w.failing = false
		w.hub.setFailing(nil)
		w.hub.queue.setFailing(false)
		w.hub.log.Info("the database can be written again")
	}
}

func (w *writer) transact(ctx context.Context, batch []job) (*results, error) {
	var res *results
	err := w.hub.store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		res = new(results) // nothing is left of an earlier run
		w.plan.begin(w.hub.cfg.Now())
		for _, j := range batch {
			if err := w.one(ctx, tx, j, res); err != nil {
				return err
			}
		}
		return w.plan.flush(ctx, tx, res)
	})
	if err != nil {
		w.plan.rollback()
		return nil, err
	}
	w.plan.committed()
	return res, nil
}

// progress is how far a transaction has come, for when a savepoint is rolled back.
type progress struct{ out, done, entries, crowds int }

func (w *writer) progress(res *results) progress {
	return progress{len(res.out), len(res.done), res.entries, len(w.plan.crowds.undo)}
}

// back forgets what was to be given out since.
func (w *writer) back(res *results, p progress) {
	res.out, res.done, res.entries = res.out[:p.out], res.done[:p.done], p.entries
	w.plan.crowds.back(p.crowds)
}

// one puts an append into the plan, where appends gather up to the next job of
// another kind, and runs any other job.
func (w *writer) one(ctx context.Context, tx *store.Tx, j job, res *results) error {
	if a, ok := j.(*appendJob); ok {
		return w.plan.add(ctx, tx, a)
	}
	if err := w.plan.flush(ctx, tx, res); err != nil {
		return err
	}
	before := w.progress(res)
	switch j := j.(type) {
	case *callJob:
		c := Caller{App: w.hub.app, User: j.s.user, Terminal: j.s.terminal, view: tx.View, tx: tx, res: res, plan: &w.plan, now: w.plan.now}
		var body []byte
		err := tx.Savepoint(ctx, func() (err error) {
			body, err = w.hub.calls.CallCBOR(ctx, c, j.method, j.body)
			return err
		})
		var e *protocol.Error
		if err != nil {
			if !errors.As(err, &e) || errors.As(err, new(*store.SavepointError)) {
				return err
			}
			w.back(res, before)
		}
		res.out = append(res.out, &replied{job: j, body: body, err: e})
	case *probe:
		res.out = append(res.out, j)
	case *writeJob:
		c := Caller{App: w.hub.app, view: tx.View, tx: tx, res: res, plan: &w.plan, now: w.plan.now}
		err := tx.Savepoint(ctx, func() error { return j.f(ctx, c) })
		if err != nil {
			if store.Outage(err) || errors.As(err, new(*store.SavepointError)) {
				return err
			}
			w.back(res, before)
		}
		res.done = append(res.done, func() { j.done <- err })
	}
	return nil
}
