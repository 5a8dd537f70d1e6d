package demotest_test

import (
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/demo/demotest"
)

// balanced is a document whose totals are right: the client sent 3 packets, of
// which the server took 1 and dropped 1.
const balanced = `{
"connections": [{"node": "client", "txPkts": 3}, {"node": "server", "rxPkts": 1}],
"drops": [{"node": "server", "direction": "in", "packets": 1}],
"totals": [{"node": "client", "txPkts": 3, "lost": 1}, {"node": "server", "rxPkts": 1, "droppedIn": 1}]}`

func TestCheckTotals(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"balanced", "", "", ""},
		{"connections", `"client", "txPkts": 3}`, `"client", "txPkts": 4}`, "client: "},
		{"drops", `"packets": 1`, `"packets": 2`, "server: "},
		{"lost", `"lost": 1`, `"lost": 2`, "the nodes disagree"},
		{"one node", `, {"node": "server", "rxPkts": 1, "droppedIn": 1}`, "", "1 totals"},
	}
	for _, tt := range tests {
		d, err := demotest.Parse([]byte(strings.Replace(balanced, tt.old, tt.new, 1)))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		err = d.CheckTotals()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
