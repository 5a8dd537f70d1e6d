package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tstun/policy"
)

func TestNearestWord(t *testing.T) {
	known := []string{"check", "completion", "demo", "explain", "help", "version"}
	for in, want := range map[string]string{
		"chekc": "check", "chek": "check", "Check": "check", "exp": "explain", "explian": "explain", "dmeo": "demo",
		"versoin": "version", "verison": "version", "comlpetion": "completion", "hlep": "help",
		"": "", "x": "", "run": "", "status": "", "d": "",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}}
	for _, tt := range tests {
		if got := distance(tt.a, tt.b); got != tt.want || distance(tt.b, tt.a) != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// A table fits, whatever is in it, as long as its numbers alone do, and shows
// all that is in it.
func TestTablesFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		tab := &table{right: []bool{false, false, true, false, true}}
		for range 1 + rng.IntN(4) {
			row := make([]string, 5)
			for i := range row {
				row[i] = strings.TrimSpace(strings.Repeat("ab cdé f"[:1+rng.IntN(8)], 1+rng.IntN(12)))
				if tab.right[i] {
					row[i] = number(rng.Uint64N(1e9))
				}
			}
			tab.add(row...)
		}
		tab.rule()
		p, b := testPainter(false, false, false)
		p.draw(tab)
		for line := range strings.Lines(b.String()) {
			if width(strings.TrimRight(line, "\n")) > maxColumns {
				t.Fatalf("%d columns:\n%s", width(line), b)
			}
		}
		if got, want := letters(b.String()), letters(fmt.Sprint(tab.rows)); got != want {
			t.Fatalf("%d letters, want %d:\n%s\n%v", got, want, b, tab.rows)
		}
	}
}

// letters counts what is no space and no frame.
func letters(s string) (n int) {
	for _, r := range s {
		if !strings.ContainsRune(" \n[]-", r) {
			n++
		}
	}
	return n
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string
	}{
		{"", ""}, {"a b", "a b"}, {"aaa bbb ccc", "aaa bbb|ccc"}, {"aaaaaaaaaaaa b", "aaaaaaaaaaaa|b"}, {"  a   b ", "a b"},
	} {
		if got := strings.Join(wrap(tt.in, 8), "|"); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	for columns, want := range map[int]int{0: 80, 20: 40, 60: 60, 200: 80} {
		if got := (&painter{columns: columns}).limit(); got != want {
			t.Errorf("%d columns: limit %d, want %d", columns, got, want)
		}
	}
}

// Errors that were put together are told one by one, with their places.
func TestErrorValues(t *testing.T) {
	at := &policy.Error{Position: policy.Position{File: "f", Line: 2, Column: 3}, Value: "v", Message: "m"}
	open := &fs.PathError{Op: "open", Path: "g", Err: fs.ErrNotExist}
	err := badInput("do that", errors.Join(policy.Errors{at, at}, open))
	got := errorValues(err)
	want := []errorValue{{"f", 2, 3, "v", "m"}, {"f", 2, 3, "v", "m"}, {File: "g", Message: open.Error()}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	whole := failf("", "both: %w, %w", errors.New("a"), errors.New("b"))
	if got := errorValues(whole); len(got) != 1 || got[0].Message != "both: a, b" {
		t.Errorf("what says more than its parts: %+v", got)
	}
	if got := errorValues(nil); got == nil || len(got) != 0 {
		t.Errorf("no error: %v", got)
	}
}

// A write ends soon after its context, and no other follows one that was not
// waited for.
func TestStream(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	blocked := make(chan struct{})
	defer close(blocked)
	w := &blockingWriter{until: blocked}
	s := newStream(ctx, w)
	began := time.Now()
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := s.Write([]byte("a")); !errors.Is(err, errInterrupted) {
		t.Errorf("err = %v", err)
	}
	if _, err := s.Write([]byte("b")); !errors.Is(err, errInterrupted) {
		t.Errorf("the next: err = %v", err)
	}
	if took := time.Since(began); took > atMost {
		t.Errorf("took %v", took)
	}
	var b strings.Builder
	s = newStream(ctx, &b) // last words
	if _, err := s.Write([]byte("error: interrupted\n")); err != nil || b.String() != "error: interrupted\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

// atMost is what may pass where a tenth of a second is meant to.
const atMost = 5 * time.Second

type blockingWriter struct{ until chan struct{} }

func (w *blockingWriter) Write(b []byte) (int, error) {
	<-w.until
	return len(b), nil
}

// A file that never ends is no policy.
func TestEndlessFile(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads as much as a policy may have")
	}
	env := environment{stdin: zeros{}}
	if _, err := readFile(env, stdinFile); err == nil || !strings.Contains(err.Error(), "stdin: more than 64 MiB") {
		t.Errorf("err = %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
