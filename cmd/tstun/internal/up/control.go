package up

import (
	"context"
	"errors"

	"tstun/capture"
	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// openControl lets tstun status, down and others see this run, before it begins.
// It fails if one of the same name runs. The Server is nil where there can be
// none: the tunnel goes without.
func (r *runner) openControl(name string) (*control.Server, error) {
	s, err := control.Listen(control.Dirs(r.options.StateDir, r.env.Getenv)[0], name, r.log.Logf)
	switch {
	case errors.Is(err, control.ErrRuns):
		return nil, ui.Failf("tstun down "+name+" ends that one; --name gives this one another name", "%w", err)
	case err != nil:
		r.log.warn("tstun status, down and connect do not see this tunnel: " + err.Error())
		return nil, nil
	}
	return s, nil
}

// untilDown returns a context that also ends when a client of s asks for it.
func untilDown(ctx context.Context, s *control.Server) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if s != nil {
		go func() { // ends with ctx
			select {
			case <-s.Down():
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// serveControl answers clients of s for a tunnel. Reloads are left to the
// runner's loop.
func (r *runner) serveControl(s *control.Server, n through, h *capture.History) {
	if s == nil {
		return
	}
	s.Serve(control.Running{Tunnel: n.Tunnel, Network: n, History: h, Reload: func(ctx context.Context) error {
		done := make(chan error, 1)
		select {
		case r.reloads <- done:
			return <-done
		case <-n.ctx.Done():
			return errors.New("the tunnel ends")
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
}

// closeControl tells clients of s that all is undone, but for what err says.
func (r *runner) closeControl(s *control.Server, err error) {
	if s == nil {
		return
	}
	if err := s.Close(err); err != nil {
		r.log.warn(err.Error())
	}
}

var _ control.Tunnel = (*tunnel.Tunnel)(nil)
