package top

import (
	"context"
	"errors"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// model is what the view shows. bubbletea's one goroutine uses it.
type model struct {
	ctx    context.Context
	source Source

	width, height int

	question int // the number of the one whose answer counts
	filter   string
	drops    bool
	paused   bool
	typing   bool // keys go to the filter
	order    int  // in orders

	rows     []row
	samples  map[rowKey]sample
	total    tunnel.FlowTotal
	status   control.Status
	in, out  float64   // bytes a second
	answered time.Time // when the last answer came
	took     time.Duration
	wrong    string // what is wrong with the filter
	failed   error  // why there is no answer

	at        rowKey // of the row that is chosen
	chosen    bool   // one is
	explained bool   // it is shown with all that is known
}

func newModel(ctx context.Context, source Source, filter string) *model {
	return &model{ctx: ctx, source: source, filter: filter, width: 80, height: 24}
}

// Init asks for the first time.
func (m *model) Init() tea.Cmd { return m.ask() }

// Update takes in an answer, a key or the size of the terminal.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case answer:
		if msg.question != m.question {
			return m, nil
		}
		m.take(&msg, time.Now())
		return m, m.askIn(pause(msg.took))
	case due:
		if msg.question == m.question && !m.paused {
			return m, m.ask()
		}
	case tea.PasteMsg:
		if m.typing {
			return m, m.setFilter(m.filter + msg.Content)
		}
	case tea.KeyPressMsg:
		if m.typing {
			return m, m.keyInFilter(msg)
		}
		return m, m.key(msg.String())
	}
	return m, nil
}

// take takes an answer in. What was shown stays if there is an error.
func (m *model) take(a *answer, now time.Time) {
	m.took, m.wrong, m.failed = a.took, "", nil
	var told *control.Error
	switch {
	case errors.As(a.err, &told) && told.Code == 400:
		m.wrong = told.Message
		return
	case a.err != nil:
		m.failed = a.err
		return
	}
	if passed := now.Sub(m.answered).Seconds(); !m.answered.IsZero() && passed > 0 {
		rate := func(now, before uint64) float64 { return max(0, float64(now)-float64(before)) / passed }
		m.in = rate(a.status.Counters.In.Bytes, m.status.Counters.In.Bytes)
		m.out = rate(a.status.Counters.Out.Bytes, m.status.Counters.Out.Bytes)
	}
	m.rows, m.samples = rowsOf(a.flows, m.samples, m.answered, now)
	m.total, m.status, m.answered = a.total, a.status, now
	m.sort()
}

// sort sorts the rows. The chosen one stays chosen as long as it is there.
func (m *model) sort() {
	sortRows(m.rows, orders[m.order])
	if m.chosen && !m.explained && m.index() < 0 {
		m.chosen = false
	}
}

// index returns the place of the chosen row, or -1.
func (m *model) index() int {
	if !m.chosen {
		return -1
	}
	return slices.IndexFunc(m.rows, func(r row) bool { return keyOf(&r.Flow) == m.at })
}

// choose chooses the row at a place, or the nearest that there is.
func (m *model) choose(i int) {
	if m.chosen = len(m.rows) > 0; m.chosen {
		m.at = keyOf(&m.rows[min(max(i, 0), len(m.rows)-1)].Flow)
	}
}

// askNow asks another question, whose answer is the next that counts.
func (m *model) askNow(after time.Duration) tea.Cmd {
	m.question++
	if after > 0 {
		return m.askIn(after)
	}
	return m.ask()
}
