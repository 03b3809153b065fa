package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// hubPatience is how long a command waits for the hub that runs.
const hubPatience = 15 * time.Second

// operation makes an operation; body is what its method takes.
func operation(method, user string, body any) (hub.Operation, error) {
	b, err := json.Marshal(body)
	return hub.Operation{Method: method, User: user, Body: b}, err
}

var (
	errNoneRuns = errors.New("no hub runs on this database: start it with herald-hub run")
	errGone     = errors.New("the hub has ended before it answered: start it with herald-hub run, and look whether it was done")
)

// hubLook is how often it is looked whether the hub still runs, while it is waited for.
const hubLook = 250 * time.Millisecond

// running has f work with the hub that runs. Where the hub's lock is on this machine,
// it is seen at once that none runs, and soon that it has ended: then f's context ends
// with errGone.
func (o *options) running(ctx context.Context, f func(context.Context, *store.Store, protocol.AppID) error) error {
	s, app, cfg, err := o.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	switch dir := cfg.Data.Dir; {
	case store.IsPostgres(location(cfg)):
	case !runs(dir):
		cancel(nil)
		return errors.Join(errNoneRuns, s.Close())
	default:
		watch.Go(func() {
			tick := time.NewTicker(hubLook)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if !runs(dir) {
						cancel(errGone)
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	err = f(ctx, s, app)
	cancel(nil)
	watch.Wait()
	return errors.Join(err, s.Close())
}

// order gives the hub at most hub.MaxOperations and waits for what becomes of each.
func order(ctx context.Context, s *store.Store, app protocol.AppID, ops []hub.Operation, patience time.Duration) ([]hub.Outcome, error) {
	out, err := hub.Operate(ctx, s, app, ops, patience)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err == nil && len(out) != len(ops):
		err = fmt.Errorf("the hub has answered %d of %d operations: it may be of another version", len(out), len(ops))
	}
	return out, err
}

// operate has the hub do one thing. An error is also what the hub refuses.
func (o *options) operate(cmd *cobra.Command, method, user string, body any) (res json.RawMessage, err error) {
	op, err := operation(method, user, body)
	if err != nil {
		return nil, err
	}
	err = o.running(cmd.Context(), func(ctx context.Context, s *store.Store, app protocol.AppID) error {
		out, err := order(ctx, s, app, []hub.Operation{op}, hubPatience)
		if err != nil {
			return err
		}
		res = out[0].Body
		return failure(out[0])
	})
	return res, err
}

// ask has the hub do one thing and prints what it answers.
func (o *options) ask(cmd *cobra.Command, method, user string, body any) error {
	res, err := o.operate(cmd, method, user, body)
	if err != nil {
		return err
	}
	if o.json && len(res) > 0 {
		return o.answer(res, "")
	}
	return o.answer(map[string]any{"status": true}, "")
}

func failure(r hub.Outcome) error {
	if r.Code == 0 {
		return nil
	}
	return fmt.Errorf("%s (code %d)", r.Msg, r.Code)
}

// batch has the hub do many things, as many at a time as one order takes, and tells
// each of what became of its thing, and of how many are done.
func batch(ctx context.Context, s *store.Store, app protocol.AppID, ops []hub.Operation, each func(i int, r hub.Outcome), progress func(done int)) error {
	done := 0
	for part := range slices.Chunk(ops, hub.MaxOperations) {
		out, err := order(ctx, s, app, part, hubPatience+time.Duration(len(part))*time.Second)
		if err != nil {
			return fmt.Errorf("%w (%d of %d are done)", err, done, len(ops))
		}
		for i, r := range out {
			each(done+i, r)
		}
		done += len(part)
		progress(done)
	}
	return nil
}
