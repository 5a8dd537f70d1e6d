package top

import (
	"context"
	"encoding/json"
	"time"

	tea "charm.land/bubbletea/v2"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// answer is what the tunnel said to a question.
type answer struct {
	question int
	flows    []tunnel.Flow
	total    tunnel.FlowTotal
	status   control.Status
	took     time.Duration
	err      error
}

// due is that it is time to ask.
type due struct{ question int }

// ask asks for what the view shows now.
func (m *model) ask() tea.Cmd {
	ctx, source, a := m.ctx, m.source, answer{question: m.question}
	q := control.FlowsQuery{Filter: m.filter, Dropped: m.drops, Limit: maxRows}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, askWait)
		defer cancel()
		began := time.Now()
		a.total, a.err = source.Flows(ctx, q, func(line []byte) error {
			var f tunnel.Flow
			err := json.Unmarshal(line, &f)
			a.flows = append(a.flows, f)
			return err
		})
		if a.err == nil {
			a.status, a.err = source.Status(ctx)
		}
		a.took = time.Since(began)
		return a
	}
}

// askIn asks after a time, unless another question is asked before.
func (m *model) askIn(d time.Duration) tea.Cmd {
	question := m.question
	return tea.Tick(d, func(time.Time) tea.Msg { return due{question} })
}

// pause returns how long nothing is asked after an answer that took so long.
func pause(took time.Duration) time.Duration { return max(askEvery, took*(askShare-1)) }
