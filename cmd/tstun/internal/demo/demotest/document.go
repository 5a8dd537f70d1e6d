// Package demotest checks the demo's JSON document as a program does that reads
// it: by the names in it, and without the types that wrote it. Tests alone
// import it.
package demotest

import (
	"encoding/json"
	"errors"
	"fmt"

	"tstun/filter"
	"tstun/netlogtype"
)

// Document is the part of the document that programs rely on.
type Document struct {
	OK    bool
	Mode  string
	Nodes []struct {
		Name, PublicKey, Endpoint string
		Addresses                 []string
	}
	Steps []struct {
		Name string
		OK   bool
		Data json.RawMessage
	}
	Connections []struct {
		Node string
		netlogtype.Connection
		netlogtype.Counts
	}
	Drops []struct {
		Node, Direction string
		Reason          filter.Reason
		Packets         uint64
	}
	Totals []struct {
		Node string
		netlogtype.Counts
		DroppedIn, DroppedOut, Lost uint64
	}
}

// Parse reads a document.
func Parse(text []byte) (Document, error) {
	var d Document
	err := json.Unmarshal(text, &d)
	return d, err
}

// CheckTotals adds the document up once more. It returns an error for each
// node whose connections or drops do not give its totals, and one if the
// nodes disagree about the packets between them.
func (d Document) CheckTotals() error {
	if len(d.Totals) != 2 {
		return fmt.Errorf("%d totals, want 2", len(d.Totals))
	}
	var errs []error
	for _, total := range d.Totals {
		var sum netlogtype.Counts
		for _, c := range d.Connections {
			if c.Node == total.Node {
				sum = sum.Add(c.Counts)
			}
		}
		dropped := map[string]uint64{}
		for _, r := range d.Drops {
			if r.Node == total.Node {
				dropped[r.Direction] += r.Packets
			}
		}
		if sum != total.Counts || dropped["in"] != total.DroppedIn || dropped["out"] != total.DroppedOut {
			errs = append(errs, fmt.Errorf("%s: %+v and drops %v, want %+v", total.Node, sum, dropped, total))
		}
	}
	a, b := d.Totals[0], d.Totals[1]
	if a.TxPackets != b.RxPackets+b.DroppedIn+a.Lost || b.TxPackets != a.RxPackets+a.DroppedIn+b.Lost {
		errs = append(errs, fmt.Errorf("the nodes disagree: %+v, %+v", a, b))
	}
	return errors.Join(errs...)
}
