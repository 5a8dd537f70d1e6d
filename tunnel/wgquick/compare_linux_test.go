package wgquick_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// More files by hand: go test ./tunnel/wgquick -run AsWgQuick -files 20000
var files = flag.Int("files", 250, "how many generated files to give to wg and wg-quick")

// onPurpose are the errors of what wg and wg-quick take: the list in doc.go.
var onPurpose = regexp.MustCompile(strings.Join([]string{
	`again, after line`, `is in line \d+, too`, `is another peer's`, `tunnel's own`, `all zeros`, `no \[Interface\]`, `spaces in the name of a section`,
	`ListenPort = "(65536|70000|\+5)"`, `Endpoint = "192.0.2.1:(0|65536)"`, `Endpoint = "(10\.1:51820|0x7f000001:1)"`,
	`Address = `, `DNS = `, `MTU = `, `Table = `, `^(Address|PostUp) without =`,
}, "|"))

// Each generated file means to Parse what it means to wg-quick, and to wg the
// part of it that wg-quick hands on; or both refuse it; or doc.go says why it is
// refused.
func TestAsWgQuick(t *testing.T) {
	wg := startWg(t)
	dir := t.TempDir()
	var paths []string
	for i := range *files {
		path := filepath.Join(dir, fmt.Sprintf("f%d.conf", i))
		writeFile(t, path, generate(i))
		paths = append(paths, path)
	}
	taken, refused := 0, 0
	for i, theirs := range readByWgQuick(t, paths) {
		config, _, err := wgquick.ParseFile(paths[i], wgquick.Options{Hooks: wgquick.AllowHooks})
		if err == nil {
			taken++
		} else {
			refused++
		}
		if diff := wg.compare(t, theirs, config, err); diff != "" {
			t.Errorf("%s:\n%s\n%s", filepath.Base(paths[i]), diff, generate(i))
		}
	}
	t.Logf("%d files taken, %d refused", taken, refused)
	if taken < *files/5 || refused < *files/5 {
		t.Errorf("%d files taken and %d refused of %d: too few to mean much", taken, refused, *files)
	}
}

// wg-quick and wg really take what doc.go says is refused on purpose.
func TestRefusedOnPurpose(t *testing.T) {
	wg := startWg(t)
	const before = "[Interface]\nPrivateKey=" + privateKey + "\n"
	zero := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	dir := t.TempDir()
	var paths []string
	for i, text := range []string{
		before + "PrivateKey=" + privateKey + "\n",
		before + peerLine + "AllowedIPs=10.0.0.0/8\n" + peerLine,
		before + peerLine + "AllowedIPs=10.0.0.0/8\n[Peer]\nPublicKey=" + otherKey + "\nAllowedIPs=10.0.0.0/8\n",
		before + "[Peer]\nPublicKey=" + publicOf(t, privateKey) + "\n",
		"[Interface]\nPrivateKey=" + zero + "\n",
		before + "[Peer]\nPublicKey=" + zero + "\n",
		peerLine,
		"[ Interface ]\nPrivateKey=" + privateKey + "\n",
		before + "ListenPort = +5\n",
		before + "ListenPort = 65537\n",
		before + peerLine + "Endpoint = 192.0.2.1:0\n",
		before + peerLine + "Endpoint = 10.1:51820\n",
		before + "Address = 10.0.0.1/255.255.255.0\n",
		before + "DNS = 300.1.1.1\n",
		before + "MTU = x\n",
		before + "Table = OFF\n",
		before + "Address\n",
		before + "MTU = 14\x0000\n",
	} {
		path := filepath.Join(dir, fmt.Sprintf("f%d.conf", i))
		writeFile(t, path, text)
		paths = append(paths, path)
	}
	for i, theirs := range readByWgQuick(t, paths) {
		text := readFile(t, paths[i])
		if _, _, err := wgquick.ParseFile(paths[i], wgquick.Options{}); err == nil {
			t.Errorf("%q is not refused", text)
		}
		if _, refusal := wg.setconf(t, theirs.stripped); theirs.err != "" || refusal != "" {
			t.Errorf("%q is not taken: %s%s", text, theirs.err, refusal)
		}
	}
}

// What the functions of wg-quick leave in WG_CONFIG is what strip prints.
func TestWgQuickStrips(t *testing.T) {
	needWg(t)
	dir := t.TempDir()
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprintf("f%d.conf", i))
		writeFile(t, path, generate(len(oddities)+i))
		got := readByWgQuick(t, []string{path})[0]
		out, err := exec.Command("wg-quick", "strip", path).Output()
		if err != nil || got.err != "" {
			t.Fatalf("%v, %s", err, got.err)
		}
		if got.stripped+"\n" != string(out) {
			t.Errorf("the functions give\n%s\nstrip prints\n%s", got.stripped, out)
		}
	}
}

// compare returns in what Parse and the programs differ about a file.
func (w *wgDevice) compare(t *testing.T, theirs quickFile, config *tunnel.Config, err error) string {
	t.Helper()
	ours, purpose := refusalOf(err)
	if purpose {
		return ""
	}
	state, refusal := "", theirs.err
	if refusal == "" {
		state, refusal = w.setconf(t, theirs.stripped)
	}
	switch {
	case ours == "" && refusal != "":
		return "we take it; they say: " + refusal
	case ours != "" && refusal == "":
		return "they take it; we say: " + ours
	case ours != "":
		return ""
	}
	w.set(t, "replace_peers=true\n"+uapi(config))
	return cmp.Or(differ(w.state(t), state), differ(strings.Join(wordsOf(config), "\n"), strings.Join(normal(theirs.read), "\n")))
}

// refusalOf returns why we refuse a file, or whether it is only on purpose.
func refusalOf(err error) (refusal string, purpose bool) {
	var all wgquick.Errors
	if err != nil && !errors.As(err, &all) {
		return err.Error(), false
	}
	for _, e := range all {
		if !onPurpose.MatchString(e.Message) {
			return e.Error(), false
		}
	}
	return "", err != nil
}

func differ(ours, theirs string) string {
	if ours == theirs {
		return ""
	}
	return "ours:\n" + ours + "\ntheirs:\n" + theirs
}

// uapi writes a Config for the device.
func uapi(c *tunnel.Config) string {
	var b bytes.Buffer
	private := c.PrivateKey.Raw32()
	fmt.Fprintf(&b, "private_key=%s\nlisten_port=%d\nfwmark=%d\n", hex.EncodeToString(private[:]), c.ListenPort, c.FwMark)
	for _, p := range c.Peers {
		public, shared := p.PublicKey.Raw32(), p.PresharedKey.Raw32()
		fmt.Fprintf(&b, "public_key=%x\npreshared_key=%x\npersistent_keepalive_interval=%d\n", public, shared, p.Keepalive)
		if host, port, err := net.SplitHostPort(p.Endpoint); err == nil {
			if host == "localhost" {
				host = "127.0.0.1"
			}
			fmt.Fprintf(&b, "endpoint=%s\n", net.JoinHostPort(host, port))
		}
		for _, prefix := range p.AllowedIPs {
			fmt.Fprintf(&b, "allowed_ip=%s\n", prefix)
		}
	}
	return b.String()
}

// wordsOf returns the part of a Config that is wg-quick's, as readFiles writes
// it.
func wordsOf(c *tunnel.Config) []string {
	var words []string
	add := func(word, value string) { words = append(words, word+" "+value) }
	for _, a := range c.Addresses {
		add("address", a.String())
	}
	for _, d := range c.DNS {
		add("dns", d.String())
	}
	for _, d := range c.SearchDomains {
		add("search", d)
	}
	for word, list := range map[string][]string{"PreUp": c.Hooks.PreUp, "PostUp": c.Hooks.PostUp, "PreDown": c.Hooks.PreDown, "PostDown": c.Hooks.PostDown} {
		for _, command := range list {
			add(word, command)
		}
	}
	add("mtu", fmt.Sprint(c.MTU))
	add("table", c.Table.String())
	add("save", map[bool]string{false: "0", true: "1"}[c.SaveConfig])
	add("name", c.Name)
	slices.SortStableFunc(words, byWord)
	return words
}

func byWord(a, b string) int {
	word := func(s string) string { w, _, _ := strings.Cut(s, " "); return w }
	return cmp.Compare(word(a), word(b))
}

// normal writes what wg-quick leaves to ip(8) as a Config has it.
func normal(read []string) []string {
	var words []string
	for _, line := range read {
		word, value, _ := strings.Cut(line, " ")
		switch word {
		case "address":
			if a, err := netip.ParseAddr(value); err == nil {
				value = netip.PrefixFrom(a, a.BitLen()).String()
			}
		case "mtu":
			value = cmp.Or(strings.TrimLeft(value, "0"), "0")
		case "table":
			value = map[string]string{"": "auto", "main": "254", "0x10": "16"}[value] + map[string]string{"off": "off", "auto": "auto", "1234": "1234"}[value]
		}
		if value != "" { // an empty hook does nothing
			words = append(words, word+" "+value)
		}
	}
	slices.SortStableFunc(words, byWord)
	return words
}
