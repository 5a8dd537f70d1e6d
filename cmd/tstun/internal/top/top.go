package top

import (
	"context"
	"errors"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// Source is who is asked. *control.Client is one.
type Source interface {
	Flows(ctx context.Context, q control.FlowsQuery, line func([]byte) error) (tunnel.FlowTotal, error)
	Status(ctx context.Context) (control.Status, error)
}

const (
	redraws  = 4                // a second, at most
	askEvery = time.Second      // at least between two answers
	askShare = 33               // of the time, one part is for asking: 3 % of a core, and drawing takes another
	askWait  = 10 * time.Second // for an answer
	typed    = 200 * time.Millisecond
	maxRows  = 500 // connections, and refused flows
)

// Run shows what source tells on the terminal, until a key or ctx ends it. filter is the
// expression to begin with.
func Run(ctx context.Context, source Source, filter string) error {
	m := newModel(ctx, source, filter)
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(os.Stdin), tea.WithOutput(os.Stdout), tea.WithFPS(redraws), tea.WithoutSignalHandler())
	_, err := p.Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}
