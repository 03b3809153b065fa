package agent

import "context"

// pictures gives the local API what it shows.
type pictures struct{ a *Agent }

func (p pictures) Snapshot(ctx context.Context) ([]byte, error) { return p.a.snapshot(ctx) }

// View shows the picture of somebody in the call, or with user "" the board's own.
func (p pictures) View(ctx context.Context, user, offer string) (id, answer string, err error) {
	if user == "" {
		return p.a.calls.ViewSelf(ctx, offer)
	}
	return p.a.calls.ViewRemote(ctx, user, offer)
}

func (p pictures) EndView(user, id string) bool { return p.a.calls.EndView(user, id) }
