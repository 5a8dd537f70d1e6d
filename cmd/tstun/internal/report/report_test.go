package report_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/report"
	"tstun/filter"
	"tstun/tunnel"
)

// What a reader sees first is what the parts add up to.
func TestSummary(t *testing.T) {
	r := collect(t, newSample(), report.Options{})
	var in, out, drops uint64
	for _, i := range r.Traffic.Intervals {
		in, out = in+i.In.Bytes, out+i.Out.Bytes
		drops += i.In.Dropped() + i.Out.Dropped()
	}
	s := r.Summary
	if s.In.Bytes != in || s.Out.Bytes != out || s.In.Dropped()+s.Out.Dropped() != drops || s.Up != 2 || s.Peers != 4 || s.Top != filter.ReasonNoRule || s.TopPackets != s.In.Drops[filter.ReasonNoRule] {
		t.Errorf("summary %+v of %d in, %d out, %d dropped", s, in, out, drops)
	}
	if want := "2 of 4 peers are up. Within 1h00m, 2.8 GiB came in and 1.7 GiB went out. 1,217 packets were dropped, 97 % of them for no-rule: no rule allows this new flow."; s.Text != want {
		t.Errorf("it says %q, want %q", s.Text, want)
	}
	var found []string
	for i, f := range r.Findings {
		found = append(found, f.Text)
		if i > 0 && f.Bad && !r.Findings[i-1].Bad {
			t.Errorf("%q stands behind what is less bad", f.Text)
		}
	}
	for i, want := range []string{
		"Down: phone (last handshake 3h00m ago), BQcBAAAAAAAA… (no handshake yet).",
		"flows of 192.0.2.77 that are not kept apart, as of a port scan: 1,192 packets were refused, no-rule: No rule allows this new flow.",
		"tcp from laptop (10.9.0.20) to db:5432 (10.9.0.11): 7 packets were refused, no-rule: rule 2, office.hujson:13:3, comes nearest: laptop is not in web, build",
		"tcp from phone (10.9.0.21) to web:8080 (10.9.0.10): 5 packets were refused, no-rule: rule 0, office.hujson:11:3, comes nearest: port 8080 is not in web:80,443",
		"Policies were loaded once, refused once, rolled back once, tried once: see the history.",
	} {
		if i >= len(found) || found[i] != want {
			t.Errorf("finding %d is not %q: %q", i, want, found)
		}
	}
	if len(r.Events) != 3 || r.Events[0].Kind != tunnel.PeerUp || r.Events[0].PeerName != "build" {
		t.Errorf("events %+v", r.Events)
	}
	if m := r.Matrix; m == nil || len(m.Srcs) != 4 || len(m.Dsts) != 3 || len(r.Missing) != 0 {
		t.Errorf("matrix %+v, missing %+v", m, r.Missing)
	}
}

// A quiet tunnel stands out by nothing, and what could not be had is said.
func TestQuietAndMissing(t *testing.T) {
	s := newSample()
	s.status.Peers = s.status.Peers[:1]
	s.traffic.Intervals = []tunnel.TrafficInterval{{From: made.Add(-hour), Seconds: 3600}}
	s.flows, s.total, s.history.Changes, s.events = nil, tunnel.FlowTotal{}, nil, nil
	r := collect(t, s, report.Options{})
	if page := html(t, r); len(r.Findings) != 0 || !strings.Contains(page, "Nothing: all peers are up") || !strings.Contains(page, "No packet passed.") || r.Summary.Text != "The peer is up. Within 1h00m, 0.0 B came in and 0.0 B went out. Nothing was dropped." {
		t.Errorf("%q, %+v", r.Summary.Text, r.Findings)
	}
	s.fails = true
	r = collect(t, s, report.Options{Since: made.Add(-100 * hour)})
	if page := html(t, r); len(r.Missing) != 5 || !strings.Contains(page, "It could not be had.") || !strings.Contains(page, "The flows could not be had: no answer") || !r.Since.Equal(s.status.Started) {
		t.Errorf("missing %+v, since %v", r.Missing, r.Since)
	}
	s.fails = false
	s.policy.Text = "{"
	if r = collect(t, s, report.Options{}); len(r.Missing) != 1 || r.Missing[0].Part != "policy matrix" || r.Matrix != nil {
		t.Errorf("missing %+v", r.Missing)
	}
	html(t, r)
}

// script is a name that would do something in a page that takes it for more than text.
const script = `<script>alert("1")</script>'"&<img src=x onerror=alert(2)>`

// tags are the elements of a page.
func tags(t *testing.T, page string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := d.Token()
		if err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			all[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" || a.Name.Local == "src" || a.Name.Local == "href" {
					t.Errorf("<%s> has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

// Names, addresses and texts are text, wherever they come from, and change nothing of the
// page's elements.
func TestEscaped(t *testing.T) {
	plain, sly := newSample(), newSample()
	for name, s := range map[string]*sample{"x": plain, script: sly} {
		s.status.Name, s.policy.File, s.status.Policy.File, s.status.Policy.Error = name, name, name, name
		s.status.Warnings = []string{name}
		for i := range s.status.Peers {
			s.status.Peers[i].Name = name
		}
		for i := range s.flows {
			f := &s.flows[i]
			f.Src.Name, f.Dst.Name, f.PeerName = name, name, name
			if f.Rule != nil {
				f.Rule.File = name
			}
			if f.Nearest != "" {
				f.Nearest = name
			}
		}
		for i := range s.events {
			s.events[i].PeerName = name
		}
		for i := range s.history.Changes {
			s.history.Changes[i].File, s.history.Changes[i].Text = name, name
		}
	}
	want, got := tags(t, html(t, collect(t, plain, report.Options{}))), html(t, collect(t, sly, report.Options{}))
	if have := tags(t, got); fmt.Sprint(have) != fmt.Sprint(want) || have["script"] != 0 || have["img"] != 0 {
		t.Errorf("elements %v, want %v", have, want)
	}
	if strings.Contains(got, "<script") || strings.Contains(got, "<img") || strings.Count(got, "&lt;script&gt;alert(") < 20 {
		t.Errorf("names are not text, or are not there")
	}
}

// No key but public ones is in a report, nor a password in a URL, and with Anonymize no
// name, address or public key that was there.
func TestSecretsAndAnonymized(t *testing.T) {
	const private, password = "eCtXsJZ27+4PbhDkHnB923tkUn2Gj59wZw5wFA75MnU=", "hunter2"
	s := newSample()
	s.policy.Text = "// " + private + " https://me:" + password + "@example.com/\n" + samplePolicy
	s.status.Warnings = []string{"PrivateKey = " + private}
	r := collect(t, s, report.Options{})
	public := s.status.Peers[0].PublicKey.String()
	all := func(r *report.Report) string {
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data) + html(t, r)
	}
	if text := all(r); strings.Contains(text, private[:20]) || strings.Contains(text, password) || !strings.Contains(text, public) || !strings.Contains(text, "laptop") {
		t.Error("a secret is in the report, or what is none is not")
	}
	r = collect(t, s, report.Options{Anonymize: true})
	text := all(r)
	for _, word := range []string{"laptop", "phone", "backup", "10.9.0.", "192.0.2.77", "fd09::", public, "198.51.100.7", "/etc/tstun", "office", private[:20], password} {
		if strings.Contains(text, word) {
			t.Errorf("%s is in an anonymized report", word)
		}
	}
	if m := r.Matrix; !r.Anonymized || m == nil || len(m.Cells) != len(collect(t, s, report.Options{}).Matrix.Cells) {
		t.Errorf("anonymized: %v, matrix %+v, missing %+v", r.Anonymized, m, r.Missing)
	}
	if r.Summary.In.Bytes == 0 || len(r.Flows) != 4 || r.Flows[0].Src.Name == "" || r.Refused[0].Reason != filter.ReasonNoRule {
		t.Errorf("what is no name or address changed: %+v", r.Summary)
	}
}

// large is a tunnel with very much of everything, of which all is long.
func large() *sample {
	s := newSample()
	long := strings.Repeat(`<"&'>`, 60)
	peer, flow, refused := s.status.Peers[0], s.flows[0], s.flows[4]
	for i := range 300 {
		peer.Name = fmt.Sprint(i, long)
		s.status.Peers = append(s.status.Peers, peer)
	}
	flow.Src.Name, flow.Dst.Name, flow.PeerName = long, long, long
	refused.Src.Name, refused.Dst.Name, refused.Nearest = long, long, strings.Repeat(long, 2)
	s.flows = nil
	for range 201 {
		s.flows = append(s.flows, flow, refused)
	}
	s.total = tunnel.FlowTotal{Passed: 100_000, Refused: 50_000}
	for range 64 {
		s.history.Changes = append(s.history.Changes, tunnel.PolicyChange{Kind: tunnel.PolicyChangeRefused, Time: made, File: long, Text: strings.Repeat(long, 2)})
		s.events = append(s.events, tunnel.Event{Kind: tunnel.ConfigChanged, Time: made, Text: strings.Repeat(long, 2)})
	}
	s.status.Warnings = make([]string, 20)
	for i := range s.status.Warnings {
		s.status.Warnings[i] = strings.Repeat(long, 2)
	}
	for i := range s.traffic.Intervals {
		x := &s.traffic.Intervals[i]
		x.In.Bytes, x.Out.Bytes = uint64(i*7919%1000)<<40, uint64(i*104729%1000)<<40
		x.Out.Drops = map[filter.Reason]uint64{}
		for _, r := range filter.Reasons() {
			x.Out.Drops[r] = uint64(i) << 30
		}
	}
	var text strings.Builder
	text.WriteString(`{"local": "*", "accept": [` + "\n")
	for i := range 400 {
		fmt.Fprintf(&text, "\t{\"proto\": \"tcp\", \"src\": \"10.%d.%d.0/24\", \"dst\": \"10.200.%d.%d:%d\"}, // %s\n", i/250, i%250, i/250, i%250, i+1, strings.Repeat("\"", 120))
	}
	text.WriteString("]}\n")
	s.policy.Text = text.String()
	return s
}

// However much there is, the page is small, and says of each list what it leaves out.
func TestBounded(t *testing.T) {
	t.Parallel()
	r := collect(t, large(), report.Options{})
	page := html(t, r)
	if len(page) > 1<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	for _, want := range []string{"… and 99,950 more", "… and 49,950 more", "… and 254 more", "50,000 refused flows; of the latest 200, those with", "… and 250 more", "lines</p>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page, "… and "); n < 7 {
		t.Errorf("it says %d times what it leaves out", n)
	}
	tags(t, page)
}

// The chart is drawn within its bounds, whatever the clock did and however little passed.
func TestChart(t *testing.T) {
	number := regexp.MustCompile(`-?\d+(?:\.\d+)?`)
	at := func(s int) time.Time { return made.Add(time.Duration(s) * time.Second) }
	interval := func(from int, bytes, drops uint64) tunnel.TrafficInterval {
		i := tunnel.TrafficInterval{From: at(from), Seconds: 10}
		i.In.Bytes = bytes
		if drops > 0 {
			i.In.Drops = map[filter.Reason]uint64{filter.ReasonNoRule: drops}
		}
		return i
	}
	for name, tt := range map[string]struct {
		intervals []tunnel.TrafficInterval
		want      string
	}{
		"a step":            {[]tunnel.TrafficInterval{interval(-20, 0, 0), interval(-10, 1000, 5)}, "At most 100 B/s in at 15:09, 0.5 packets/s dropped at 15:09."},
		"nothing":           {[]tunnel.TrafficInterval{interval(-20, 0, 0)}, "No packet passed."},
		"one byte":          {[]tunnel.TrafficInterval{interval(-20, 1, 0)}, "At most 0 B/s in at 15:09."},
		"very much":         {[]tunnel.TrafficInterval{interval(-20, 1<<63, 1<<62)}, "At most "},
		"the clock goes on": {[]tunnel.TrafficInterval{interval(-1e8, 5, 0), interval(-10, 5, 0)}, "At most "},
		"the clock is back": {[]tunnel.TrafficInterval{interval(-10, 5, 0), interval(-30, 5, 0), interval(-20, 700, 0), interval(-5, 5, 0)}, "At most "},
		"from the future":   {[]tunnel.TrafficInterval{interval(50, 5, 0)}, "It could not be had."},
	} {
		s := newSample()
		s.traffic.Intervals = tt.intervals
		page := html(t, collect(t, s, report.Options{}))
		if !strings.Contains(page, tt.want) {
			t.Errorf("%s: the page does not say %q", name, tt.want)
		}
		for _, path := range regexp.MustCompile(` d="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			for _, n := range number.FindAllString(path[1], -1) {
				if v := 0.0; true {
					if _, err := fmt.Sscan(n, &v); err != nil || v < 0 || v > 1000 {
						t.Errorf("%s: %s in %s", name, n, path[1])
					}
				}
			}
			if strings.Contains(path[1], "NaN") || strings.Contains(path[1], "Inf") {
				t.Errorf("%s: %s", name, path[1])
			}
		}
		if n := strings.Count(page, `text-anchor="middle"`); n > 8 {
			t.Errorf("%s: %d labels of the time", name, n)
		}
	}
}

// A matrix that is too wide for a table is a list, and one that allows nothing says so.
func TestMatrix(t *testing.T) {
	s := newSample()
	s.policy.Text = `{"local": "*", "accept": [`
	for i := range 14 {
		s.policy.Text += fmt.Sprintf(`{"proto": "tcp", "src": "10.0.0.%d", "dst": "10.1.0.%d:%d"},`, i, i, i+1)
	}
	s.policy.Text += "]}"
	if page := html(t, collect(t, s, report.Options{})); strings.Contains(page, `class="matrix"`) || !strings.Contains(page, `<th scope="row">10.0.0.13</th><td data-is="to">10.1.0.13</td><td>tcp 14</td>`) {
		t.Error("a wide matrix is no list")
	}
	s.policy.Text = `{"local": "*"}`
	if page := html(t, collect(t, s, report.Options{})); !strings.Contains(page, "Nobody reaches anything") {
		t.Error("a policy that allows nothing is not told")
	}
}
