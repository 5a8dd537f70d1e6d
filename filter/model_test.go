package filter_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

// The model plays random histories of a host and its peers on a filter, and
// holds each verdict against what is true: who began each connection, and what
// let it in. Nothing of a peer's may reach the host but what the rules in
// force allow, what answers the host, and what a setting lets in; and what is
// allowed, or answers the host in time, has to.
//
//	go test ./filter -run Model -model.seed 1 -model.histories 1000 -model.steps 5000
var (
	modelSeed      = flag.Uint64("model.seed", 1, "seed of the first of the model's histories")
	modelHistories = flag.Int("model.histories", 300, "how many histories the model plays")
	modelSteps     = flag.Int("model.steps", 1500, "how many moves a history of the model's has")
	modelAll       = flag.Bool("model.all", false, "go on after a failure, with one example for each kind of it")
)

// playAll plays a history up to the first violation, and returns it with the
// number of moves that led to it.
func playAll(s setup, moves []move, trace func(string, ...any)) (*violation, int) {
	w := newWorld(s)
	w.trace = trace
	for i, m := range moves {
		if trace != nil {
			trace("%3d  %v", i, m)
		}
		if w.play(m); w.failed != nil {
			return w.failed, i + 1
		}
	}
	return nil, len(moves)
}

func TestModel(t *testing.T) {
	seen := map[string]bool{}
	for i := range *modelHistories {
		seed := *modelSeed + uint64(i)
		s, moves := history(seed, *modelSteps)
		v, n := playAll(s, moves, nil)
		if v == nil {
			continue
		}
		short := shrink(s, moves[:n], v.kind)
		report, sort := explain(s, short)
		if seen[sort] {
			continue
		}
		seen[sort] = true
		t.Errorf("-model.seed %d -model.steps %d -model.histories 1: %s", seed, *modelSteps, report)
		if !*modelAll {
			return
		}
	}
}

// explain plays a history again, and returns what happens in it, and what
// sort of violation it ends with.
func explain(s setup, moves []move) (report, sort string) {
	var b strings.Builder
	v, _ := playAll(s, moves, func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) })
	if v == nil {
		return "not repeatable", "not repeatable"
	}
	var deeds []string
	for _, m := range moves {
		if d := fmt.Sprint(m.deed, m.k.proto); len(deeds) == 0 || deeds[len(deeds)-1] != d {
			deeds = append(deeds, d)
		}
	}
	head := fmt.Sprintf("%s: %s\nat first: %v; limits %+v\n", v.kind, v.detail, s.modelConfig, s.limits)
	return head + b.String(), v.kind + strings.Join(deeds, " ")
}
