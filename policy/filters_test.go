package policy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tstun/policy"
)

var update = flag.Bool("update", false, "write what the packet filters in testdata are read as")

// TestPacketFilters reads packet filters in every spelling that Tailscale and
// headscale emit. What each is to be read as stands beside it.
func TestPacketFilters(t *testing.T) {
	files, err := filepath.Glob("testdata/filters/*.json")
	if err != nil || len(files) < 14 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := policy.Parse(filepath.Base(file), data)
			if err != nil {
				t.Fatal(err)
			}
			mustFilter(t, p)
			got := described(p)
			golden := strings.TrimSuffix(file, ".json") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// described returns the rules with their places, and the notes.
func described(p *policy.Policy) string {
	var b strings.Builder
	for i, m := range p.Config().Matches {
		b.WriteString(p.Rule(i).String() + ": " + m.String() + "\n")
	}
	for _, n := range p.Notes() {
		b.WriteString("note " + n.String() + "\n")
	}
	return b.String()
}
