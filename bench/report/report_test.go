package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tstun/bench/report"
)

// sample returns a small report of two rounds.
func sample() *report.Report {
	r := report.New()
	for round := range 2 {
		for i, kind := range []string{"bare", "tstun"} {
			s := report.Series{Part: report.Tunnel, Measure: "UDP", Quantity: "sender busy", Kind: kind, Unit: "%"}
			r.Add(s, 50)
			s.Quantity, s.Unit, s.Better = "received", "packets/s", report.More
			r.Add(s, float64((1+i)*(1000+round*1000)))
		}
	}
	r.Settings["rounds"] = "2"
	r.Complete = true
	r.Note("said once")
	r.Note("said once")
	return r
}

func TestAddAndFind(t *testing.T) {
	r := sample()
	s := r.Find(report.Tunnel, "UDP", "received", "tstun")
	if s == nil || !slices.Equal(s.Rounds, []float64{2000, 4000}) {
		t.Errorf("found %+v, want rounds 2000 and 4000", s)
	}
	if s := r.Find(report.Packet, "UDP", "received", "tstun"); s != nil {
		t.Errorf("found %+v in the other part", s)
	}
	if got := r.Quantities(report.Tunnel, "UDP"); !slices.Equal(got, []string{"received", "sender busy"}) {
		t.Errorf("quantities are %q, want what can be good first", got)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	want := sample()
	file := filepath.Join(t.TempDir(), "report.json")
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := report.ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Machine != want.Machine || !reflect.DeepEqual(got.Versions, want.Versions) || !reflect.DeepEqual(got.Settings, want.Settings) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	if !reflect.DeepEqual(got.Series, want.Series) || !slices.Equal(got.Notes, want.Notes) || !got.Complete {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	if s := got.Find(report.Tunnel, "UDP", "received", "bare"); s == nil {
		t.Error("the report that was read finds nothing")
	}
}

func TestWriteText(t *testing.T) {
	var b strings.Builder
	r := sample()
	r.Complete = false
	if err := r.WriteText(&b, []report.Layout{{Part: report.Tunnel, Base: "bare"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"== tunnel", "1,500 (1,000–2,000)", "3,000 (2,000–4,000) ×2.00", "packets/s", "note: said once", "not complete",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
	if strings.Count(b.String(), "said once") != 1 {
		t.Errorf("a note is there twice:\n%s", b.String())
	}
}

func TestFigure(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 0.126: "0.13", 9.951: "10.0", 12.34: "12.3", 99.7: "100", 1234.5: "1,234", 1234567: "1,234,567", -4321: "-4,321",
	} {
		if got := report.Figure(in); got != want {
			t.Errorf("%v is written %q, want %q", in, got, want)
		}
	}
}
