package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
	"tstun/tunnel"
)

// fake is a tunnel that says what a test wants.
type fake struct {
	flows  []tunnel.Flow
	status control.Status
	err    error
	asked  []control.FlowsQuery
}

func (f *fake) Flows(_ context.Context, q control.FlowsQuery, line func([]byte) error) (total tunnel.FlowTotal, err error) {
	f.asked = append(f.asked, q)
	if f.err != nil {
		return total, f.err
	}
	for i := range f.flows {
		text, err := json.Marshal(&f.flows[i])
		if err == nil {
			err = line(text)
		}
		if err != nil {
			return total, err
		}
	}
	total.Passed = len(f.flows)
	return total, nil
}

func (f *fake) Status(context.Context) (control.Status, error) { return f.status, nil }

// connection returns a flow from a host to web.
func connection(from string, bytes uint64, began time.Time) tunnel.Flow {
	return tunnel.Flow{
		Kind: tunnel.FlowOpen, Proto: ipproto.TCP, Initiator: filter.InitiatorPeer, Phase: filter.PhaseEstablished, First: began, Last: began,
		Src: tunnel.FlowSide{Addr: netip.MustParseAddr("10.9.0.2"), Port: 1000 + uint16(len(from)), Name: from}, Dst: tunnel.FlowSide{Addr: netip.MustParseAddr("10.9.0.1"), Port: 80, Name: "web"},
		In: tunnel.FlowTraffic{Packets: 1, Bytes: bytes}, Rule: &tunnel.RulePlace{Index: 0, Position: policy.Position{File: "a/policy.hujson", Line: 5, Column: 3}},
	}
}

// view is a model that a test plays the terminal of.
type view struct {
	*testing.T
	*model
	source *fake
}

func newView(t *testing.T, source *fake) *view {
	v := &view{t, newModel(t.Context(), source, ""), source}
	v.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	v.run(v.Init())
	return v
}

// send has the model take a message, and does at once what it asks for but waiting.
func (v *view) send(msg tea.Msg) {
	_, cmd := v.Update(msg)
	_ = cmd // the tests ask themselves
}

// run has the model take what a command brings.
func (v *view) run(cmd tea.Cmd) { v.send(cmd()) }

// press presses keys, by their names.
func (v *view) press(names ...string) {
	for _, n := range names {
		k := tea.KeyPressMsg{Text: n}
		switch n {
		case "enter":
			k = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "esc":
			k = tea.KeyPressMsg{Code: tea.KeyEscape}
		case "down":
			k = tea.KeyPressMsg{Code: tea.KeyDown}
		case "backspace":
			k = tea.KeyPressMsg{Code: tea.KeyBackspace}
		default:
			k.Code = []rune(n)[0]
		}
		v.send(k)
	}
}

// text returns the screen, which fits the terminal.
func (v *view) text() string {
	v.Helper()
	text := strings.NewReplacer("\x1b[7m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(v.View().Content)
	lines := strings.Split(text, "\n")
	if len(lines) != v.height {
		v.Errorf("%d lines, not %d", len(lines), v.height)
	}
	for _, l := range lines {
		if ui.Width(l) > v.width || strings.ContainsAny(l, "\x1b\t") {
			v.Errorf("%d columns: %q", ui.Width(l), l)
		}
	}
	return text
}

func (v *view) wants(words ...string) {
	v.Helper()
	text := v.text()
	at := 0
	for _, w := range words {
		i := strings.Index(text[at:], w)
		if i < 0 {
			v.Fatalf("no %q in its place on:\n%s", w, text)
		}
		at += i
	}
}

// Rows are sorted by rate, bytes and the rest, the chosen one stays, and is explained.
func TestRows(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	source := &fake{flows: []tunnel.Flow{connection("old", 5000, began), connection("busy", 10, began)}}
	source.status.Name, source.status.Mode = "wg0", tunnel.ModeUserspace
	v := newView(t, source)
	v.wants("wg0, userspace, 0 of 0 peers up, no policy", "2 flows", "tcp old > web:80", "policy.hujson:5", "tcp busy > web:80")
	source.flows[1].In.Bytes = 1<<20 + 10
	refused := connection("busy", 60, v.answered.Add(time.Millisecond))
	refused.Kind, refused.Reason, refused.Dst.Port, refused.Rule = tunnel.FlowRefused, filter.ReasonNoRule, 8080, nil
	refused.NearestRule, refused.Nearest, refused.Lacks = source.flows[0].Rule, "rule 0, a/policy.hujson:5:3, comes nearest: port 8080 is not in web:80", []string{"port"}
	source.flows = append(source.flows, refused)
	second := v.ask()().(answer)
	v.take(&second, v.answered.Add(2*time.Second))
	v.wants("tcp busy > web:80", "1.0 MiB", "512 KiB/s", "tcp busy > web:8080", "no-rule: port", "tcp old > web:80")
	v.press("down", "down")
	v.wants("> tcp busy > web:8080")
	for range orders[1:] {
		v.press("s")
		v.wants("> tcp busy > web:8080")
	}
	v.wants("sort: name")
	v.press("enter")
	v.wants("tcp from busy (10.9.0.2) to web:8080 (10.9.0.1)", "no-rule: No rule allows", "nearest", "port 8080 is not in", "web:80", "it lacks", "port")
	source.flows = source.flows[:2]
	v.run(v.ask())
	v.wants("not among the flows any more")
	v.press("enter", "G", "enter")
	v.wants("tcp from old", "begun by", "the peer", "allowed by", "rule 0, a/policy.hujson:5:3")
}

// Keys change the question; a wrong filter is told, and what was shown stays.
func TestQuestions(t *testing.T) {
	source := &fake{flows: []tunnel.Flow{connection("a", 1, time.Now())}}
	v := newView(t, source)
	v.press("d", "/", "t", "c", "p", "x", "backspace", " ", "q")
	v.wants("drops only  / tcp q_")
	v.run(v.ask())
	last := source.asked[len(source.asked)-1]
	if last.Filter != "tcp q" || !last.Dropped || last.Limit != maxRows {
		t.Errorf("asked %+v", last)
	}
	source.err = &control.Error{Message: `filter: at byte 4: "q"`, Code: 400}
	v.run(v.ask())
	v.wants("tcp a > web:80", `filter: at byte 4: "q"`)
	source.err = errors.New("gone")
	v.run(v.ask())
	v.press("enter")
	v.wants("no answer: gone", "tcp a > web:80")
	v.press("esc")
	source.err = nil
	v.run(v.ask())
	if v.filter != "" || v.failed != nil {
		t.Errorf("filter %q, error %v", v.filter, v.failed)
	}
	v.press("p")
	v.wants("PAUSED")
	if _, cmd := v.Update(due{v.question}); cmd != nil {
		t.Error("it asks while it is paused")
	}
	if _, cmd := v.Update(tea.KeyPressMsg{Code: 'p', Text: "p"}); cmd == nil {
		t.Error("it does not go on")
	}
	// The answer to another question than the last does not count, and is not followed by one.
	v.question++
	if _, cmd := v.Update(answer{question: v.question - 1, err: errors.New("old")}); cmd != nil || v.failed != nil {
		t.Errorf("an old answer was taken: %v", v.failed)
	}
	if _, cmd := v.Update(tea.KeyPressMsg{Code: 'q', Text: "q"}); cmd == nil || cmd() != (tea.QuitMsg{}) {
		t.Error("q does not quit")
	}
}

// Asking takes a 33rd of the time at most.
func TestPause(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{time.Millisecond: time.Second, 100 * time.Millisecond: 3200 * time.Millisecond} {
		if got := pause(took); got != want {
			t.Errorf("after %v: %v", took, got)
		}
	}
}

// Whatever the terminal's size is, the screen fits it; names cannot move the cursor.
func TestSizes(t *testing.T) {
	source := &fake{}
	for i := range 300 {
		source.flows = append(source.flows, connection(fmt.Sprintf("host\x1b[2J%d", i), uint64(i), time.Now()))
	}
	v := newView(t, source)
	for _, size := range [][2]int{{80, 24}, {40, 10}, {200, 60}, {20, 7}, {80, 8}} {
		v.send(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		for _, key := range []string{"G", "g", "enter", "enter", "down"} {
			v.press(key)
			v.text()
		}
	}
}
