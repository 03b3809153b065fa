package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// operate has the hub do one thing. An error is also what the hub refuses.
func (o *options) operate(cmd *cobra.Command, method, user string, body any) (json.RawMessage, error) {
	op, err := operation(method, user, body)
	if err != nil {
		return nil, err
	}
	s, app, err := o.openRunning(cmd.Context())
	if err != nil {
		return nil, err
	}
	out, err := hub.Operate(cmd.Context(), s, app, []hub.Operation{op}, hubPatience)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	return out[0].Body, failure(out[0])
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
		out, err := hub.Operate(ctx, s, app, part, hubPatience+time.Duration(len(part))*time.Second)
		if err != nil {
			return err
		}
		if len(out) != len(part) {
			return fmt.Errorf("the hub has answered %d of %d operations: it may be of another version", len(out), len(part))
		}
		for i, r := range out {
			each(done+i, r)
		}
		done += len(part)
		progress(done)
	}
	return nil
}
