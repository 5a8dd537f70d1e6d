package netlogtype_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/netlogtype"
)

func TestJSONOmitsZeroFields(t *testing.T) {
	tests := []struct {
		name string
		in   any
		want string
	}{
		{"zero connection", netlogtype.Connection{}, `{}`},
		{"zero counts", netlogtype.Counts{}, `{}`},
		{"some counts", netlogtype.Counts{TxPackets: 1, RxBytes: 2}, `{"txPkts":1,"rxBytes":2}`},
		{"all counts", netlogtype.Counts{TxPackets: 1, TxBytes: 2, RxPackets: 3, RxBytes: 4}, `{"txPkts":1,"txBytes":2,"rxPkts":3,"rxBytes":4}`},
		{"connection", netlogtype.Connection{
			Proto: ipproto.UDP,
			Src:   netip.MustParseAddrPort("10.0.0.1:53"),
			Dst:   netip.MustParseAddrPort("[fd00::1]:5353"),
		}, `{"proto":"udp","src":"10.0.0.1:53","dst":"[fd00::1]:5353"}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: Marshal = %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestAdd(t *testing.T) {
	got := netlogtype.Counts{1, 2, 3, 4}.Add(netlogtype.Counts{10, 20, 30, 40})
	if want := (netlogtype.Counts{11, 22, 33, 44}); got != want {
		t.Errorf("Add = %v, want %v", got, want)
	}
	if got.IsZero() || !(netlogtype.Counts{}).IsZero() {
		t.Error("IsZero is true of the zero value alone")
	}
}

func Example() {
	counts := netlogtype.Counts{TxPackets: 1, TxBytes: 84}
	counts = counts.Add(netlogtype.Counts{RxPackets: 1, RxBytes: 84})
	fmt.Printf("%+v\n", counts)
	// Output: {TxPackets:1 TxBytes:84 RxPackets:1 RxBytes:84}
}
