package hostnet

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func open(t *testing.T, dir, name string) (*journal, state) {
	t.Helper()
	j, s, err := openJournal(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return j, s
}

// TestJournal writes states, is cut off in the middle of a line, and goes on.
func TestJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	j, s := open(t, dir, "tun0")
	if !reflect.DeepEqual(s, state{}) {
		t.Errorf("a new journal has %+v", s)
	}
	one := 1
	want := state{Index: 3, Link: &linkState{1500, true}, Addrs: prefixList("10.0.0.1/8 fd00::1/64"), Mark: 51820, Priority: 32765, SrcValidMark: &one,
		DNS: &dnsRecord{managerResolvconf, "tun.tun0", []netip.Addr{netip.MustParseAddr("10.0.0.53")}, []string{"corp.example"}}}
	for _, s := range []state{{Index: 3}, want, want} {
		if err := j.save(&s); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "tun0.journal")
	if text, _ := os.ReadFile(path); strings.Count(string(text), "\n") != 2 {
		t.Errorf("two states take the lines %q", text)
	}
	j.file.WriteString(`{"index":4,"li`) // killed here
	j.file.Close()
	j, s = open(t, dir, "tun0")
	if !reflect.DeepEqual(s, want) {
		t.Errorf("read %+v, want %+v", s, want)
	}
	if err := j.save(&state{Index: 5}); err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	if j, s = open(t, dir, "tun0"); s.Index != 5 {
		t.Errorf("behind a partial line: %+v", s)
	}
	if err := j.remove(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%d files are left", len(entries))
	}
}

// TestJournalLock has one owner at a time, and hears of the others' states.
func TestJournalLock(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, "tun0")
	if _, _, err := openJournal(dir, "tun0"); err == nil || !strings.Contains(err.Error(), "another process has charge") {
		t.Errorf("the second owner: %v", err)
	}
	k, _ := open(t, dir, "tun1")
	if err := k.save(&state{Mark: 7}); err != nil {
		t.Fatal(err)
	}
	err := j.exclusive(func(others []state) error {
		if len(others) != 1 || others[0].Mark != 7 {
			t.Errorf("others: %+v", others)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	j.remove()
	k.remove()
}

func FuzzParseJournal(f *testing.F) {
	for _, text := range []string{
		"", "{}", "{}\n", "{}\n{\"mark\":1}\n{", "null\n", "\n", "[]\n", "{\"addrs\":[\"\"]}\n", "{\"src_valid_mark\":2}\n", "{\"priority\":1}\n",
		"{\"dns\":{\"manager\":\"sh\",\"record\":\"-c\"}}\n", "{\"dns\":{\"manager\":\"resolvconf\",\"record\":\"tun.x\"}}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, last, err := parseJournal(text)
		if err != nil {
			return
		}
		if s.check() != nil || len(last) > 0 && !strings.Contains(string(text), string(last)+"\n") {
			t.Errorf("%+v of line %q", s, last)
		}
		for _, a := range s.Addrs {
			if !a.IsValid() {
				t.Errorf("address %v", a)
			}
		}
		if s.DNS != nil && strings.HasPrefix(s.DNS.Record, "-") {
			t.Errorf("record %q", s.DNS.Record)
		}
	})
}

func TestSortServers(t *testing.T) {
	ours := []netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("fd00::53")}
	tests := []struct {
		text   string
		ours   bool
		others string
	}{
		{"", false, ""},
		{"nameserver 10.0.0.53\n", true, ""},
		{"# nameserver 9.9.9.9\nsearch nameserver 9.9.9.9\nnameserver\tfd00:0::53\noptions edns0", true, ""},
		{"nameserver 127.0.0.53\noptions trust-ad", true, ""},
		{"nameserver 192.168.1.1\nnameserver fe80::1%eth0\nnameserver 10.0.0.53", true, "192.168.1.1 fe80::1%eth0"},
		{"nameserver 192.168.1.1", false, "192.168.1.1"},
		{"nameserver", false, ""},
	}
	for _, tt := range tests {
		if got, others := sortServers(tt.text, ours); got != tt.ours || strings.Join(others, " ") != tt.others {
			t.Errorf("%q: %v %v", tt.text, got, others)
		}
	}
}
