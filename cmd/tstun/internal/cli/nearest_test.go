package cli

import "testing"

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
