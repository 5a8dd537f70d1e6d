package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/policy"
)

// TestMatrixBruteForce asks the filters of random policies about every flow of a
// small space, and wants the matrices to say the same.
func TestMatrixBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var allowed, changed int
	for range 40 {
		old, oldText := randomParsed(r, unedited)
		next, nextText := randomParsed(r, unedited)
		m, err := policy.MatrixOf(next)
		if err != nil {
			t.Fatal(err)
		}
		d, err := policy.MatrixOfDiff(old, next)
		if err != nil {
			t.Fatal(err)
		}
		checkSets(t, m)
		checkSets(t, d)
		was, is := mustFilter(t, old), mustFilter(t, next)
		for flow := range spaceFlows() {
			before, now := check(was, flow), check(is, flow)
			if now != filter.DropSilently {
				if got, _ := m.Allowed(flow); got == now.IsDrop() {
					t.Errorf("%v: %v, and in the matrix %v", flow, now, got)
				}
				if !now.IsDrop() {
					allowed++
				}
			}
			if before == filter.DropSilently && now == filter.DropSilently {
				continue
			}
			got, said := d.Allowed(flow)
			if said != (before.IsDrop() != now.IsDrop()) || said && got == now.IsDrop() {
				t.Errorf("%v: %v, then %v; the difference says %v, %v", flow, before, now, got, said)
			}
			if said {
				changed++
			}
		}
		if t.Failed() {
			t.Fatalf("old %s\nnext %s\nmatrix %+v\ndifference %+v", oldText, nextText, m, d)
		}
	}
	if allowed < 1000 || changed < 1000 {
		t.Errorf("%d flows were allowed and %d changed: the policies are no test", allowed, changed)
	}
}

func check(f *filter.Filter, flow policy.Flow) filter.Response {
	return f.Check(flow.Src, flow.Dst.Addr(), flow.Dst.Port(), flow.Proto)
}

// spaceFlows yields all flows of the small spaces.
func spaceFlows() func(yield func(policy.Flow) bool) {
	return func(yield func(policy.Flow) bool) {
		for _, s := range spaces {
			for _, src := range s.srcs {
				for _, dst := range s.dsts {
					for _, proto := range spaceProtos {
						for _, port := range spacePorts {
							if !yield(policy.Flow{Proto: proto, Src: src, Dst: netip.AddrPortFrom(dst, port)}) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// checkSets wants the rows, and the columns, to differ and not to overlap.
func checkSets(t *testing.T, m *policy.Matrix) {
	t.Helper()
	for _, sets := range [][]policy.Set{m.Srcs, m.Dsts} {
		called := make(map[string]bool)
		var ranges []policy.Range
		for _, s := range sets {
			if called[s.String()] {
				t.Errorf("two sets are called %q", s)
			}
			called[s.String()] = true
			ranges = append(ranges, s.Ranges...)
		}
		slices.SortFunc(ranges, func(a, b policy.Range) int { return a.First.Compare(b.First) })
		for i := 1; i < len(ranges); i++ {
			if !ranges[i-1].Last.Less(ranges[i].First) {
				t.Errorf("%v and %v overlap", ranges[i-1], ranges[i])
			}
		}
	}
}

// matrixText returns the cells, one a line.
func matrixText(m *policy.Matrix) (lines []string) {
	for _, c := range m.Cells {
		for _, a := range c.Access {
			sign := "-"
			if a.Allowed {
				sign = "+"
			}
			lines = append(lines, fmt.Sprintf("%s%v > %v: %v", sign, m.Srcs[c.Src], m.Dsts[c.Dst], a))
		}
	}
	return lines
}

const office = `{
	"hosts": {"web": ["100.64.0.10", "fd7a::10"], "db": "100.64.0.11", "laptop": ["100.64.0.20", "fd7a::20"], "phone": "100.64.0.21"},
	"groups": {"admins": ["laptop", "phone"]},
	"local": ["web", "db"],
	"accept": [
		{"proto": "tcp", "src": "*", "dst": "web:80,443"},
		{"proto": ["tcp", "icmp"], "src": "admins", "dst": ["web:22", "db:22"]},
		{"src": "192.0.2.0/24", "dst": "db:5432"},
	],
}`

func TestMatrixText(t *testing.T) {
	tests := []struct {
		name, old, next string // without old, of next alone
		want            []string
	}{
		{"names", "", office, []string{
			"+admins > db: tcp 22",
			"+admins > db: icmp",
			"+admins > web: tcp 22,80,443",
			"+admins > web: icmp",
			"+192.0.2.0/24 > db: tcp,udp 5432",
			"+192.0.2.0/24 > db: icmp",
			"+192.0.2.0/24 > web: tcp 80,443",
			"+any other > web: tcp 80,443",
		}},
		{"a difference", office, strings.Replace(office, `"phone"]`, `]`, 1), []string{
			"-phone > db, web (IPv4): tcp 22",
			"-phone > db, web (IPv4): icmp",
		}},
		{"a name that is gone", office, strings.Replace(strings.Replace(office, `, "phone"]`, `]`, 1), `, "phone": "100.64.0.21"`, "", 1), []string{
			"-phone > db, web (IPv4): tcp 22",
			"-phone > db, web (IPv4): icmp",
		}},
		{"nothing", "", `{"local": "10.0.0.1"}`, nil},
		{"everybody", "", `{"local": ["10.0.0.1", "fd00::1"], "accept": [{"src": "*", "dst": "*:*"}]}`, []string{
			"+any > 10.0.0.1: tcp,udp,icmp *",
			"+any > fd00::1: tcp,udp,icmp *",
		}},
		{"one of two versions", "", `{"hosts": {"a": ["10.0.0.1", "fd00::1"]}, "local": "*", "accept": [{"src": "*", "dst": "10.0.0.1:22"}, {"src": "a", "dst": "*:80"}]}`, []string{
			"+a > a (IPv4): tcp,udp 22,80",
			"+a > a (IPv4): icmp",
			"+a > any other: tcp,udp 80",
			"+a > any other: icmp",
			"+any other (IPv4) > a (IPv4): tcp,udp 22",
			"+any other (IPv4) > a (IPv4): icmp",
		}},
	}
	for _, tt := range tests {
		m, err := policy.MatrixOf(mustParse(t, tt.next))
		if tt.old != "" {
			m, err = policy.MatrixOfDiff(mustParse(t, tt.old), mustParse(t, tt.next))
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := matrixText(m); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}
