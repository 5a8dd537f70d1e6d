package wgquick_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes files that are right, each of which may have one thing that
// is not, or is rare. The same number makes the same file.
type generator struct {
	*rand.Rand
	text strings.Builder
	odd  oddity
	// prefixes counts those that the file has.
	prefixes int
}

// oddity is a line that is refused by one of the two at least, or is taken
// strangely, and the section that it stands in.
type oddity struct{ section, line string }

// key returns the key of the line in one spelling.
func (o oddity) key() string {
	key, _, _ := strings.Cut(o.line, "=")
	return strings.ToLower(strings.Join(strings.Fields(key), ""))
}

// oddities are all that generate knows.
var oddities = func() []oddity {
	var all []oddity
	for section, lines := range map[string][]genLine{"Interface": interfaceLines, "Peer": peerLines} {
		for _, l := range lines {
			for _, value := range l.odd {
				all = append(all, oddity{section, l.key + " = " + value})
			}
		}
		for _, line := range strange {
			all = append(all, oddity{section, line})
		}
	}
	slices.SortFunc(all, func(a, b oddity) int { return cmp.Or(cmp.Compare(a.section, b.section), cmp.Compare(a.line, b.line)) })
	return all
}()

// generate returns the file of a number. Each of the first has another oddity,
// and of the rest every other one any.
func generate(number int) string {
	g := &generator{Rand: rand.New(rand.NewPCG(uint64(number), 11))}
	if number < len(oddities) {
		g.odd = oddities[number]
	} else if number%2 == 0 {
		g.odd = pick(g, oddities)
	}
	g.section("Interface", interfaceLines)
	for i := range 1 + g.IntN(3) {
		g.section("Peer", peerLines)
		if i == 0 {
			g.plant("Peer")
		}
	}
	if g.IntN(10) == 0 {
		g.text.WriteString("[interface]\nAddress = 10.99.0.1/32\n")
	}
	text := g.text.String()
	if g.IntN(5) == 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if g.IntN(5) == 0 {
		text = strings.TrimRight(text, "\r\n")
	}
	return text
}

func pick[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

// section writes a section with some of the lines, in any order.
func (g *generator) section(name string, of []genLine) {
	fmt.Fprintf(&g.text, "%s[%s]%s\n", g.blank(), g.letters(name), pick(g, []string{"", "", "\t", " # section", "#"}))
	for _, i := range g.Perm(len(of)) {
		l := of[i]
		if l.always || g.IntN(2) == 0 && g.odd.key() != strings.ToLower(l.key) {
			g.lines(l)
		}
	}
	if name == "Interface" {
		g.plant(name)
	}
}

// plant writes the oddity, if it is of that section.
func (g *generator) plant(section string) {
	if g.odd.section == section {
		g.text.WriteString(g.odd.line + "\n")
	}
}

// lines writes a line, or some if there may be many, no two alike.
func (g *generator) lines(l genLine) {
	values := g.Perm(max(len(l.right), 1))
	for _, v := range values[:min(1+g.IntN(1+l.often), len(values))] {
		switch {
		case l.key == "AllowedIPs":
			g.line(l.key, g.allowed())
		case strings.HasSuffix(l.key, "Key"):
			g.line(l.key, g.key())
		default:
			g.line(l.key, l.right[v])
		}
	}
}

func (g *generator) line(key, value string) {
	comment := pick(g, []string{"", "", "", " # about " + key, "#", "\t#x = y # z"})
	fmt.Fprintf(&g.text, "%s%s%s=%s%s%s%s\n", g.blank(), g.letters(key), g.blank(), g.blank(), value, comment, g.blank())
	if g.IntN(8) == 0 {
		g.text.WriteString(pick(g, []string{"\n", "# a comment\n", "  \t\n", "\t# Name = peer\n"}))
	}
}

func (g *generator) blank() string { return pick(g, []string{"", "", " ", " ", "\t", "  \t"}) }

// letters changes the case of a word, now and then.
func (g *generator) letters(word string) string {
	return pick(g, []string{word, word, word, strings.ToLower(word), strings.ToUpper(word)})
}

func (g *generator) key() string {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(g.Uint32())
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// allowed returns a list of prefixes, each of which is new in the file.
func (g *generator) allowed() string {
	var list []string
	for range 1 + g.IntN(3) {
		g.prefixes++
		n := g.prefixes
		list = append(list, pick(g, []string{
			fmt.Sprintf("10.%d.0.0/16", n), fmt.Sprintf("10.0.%d.7", n), fmt.Sprintf("172.16.%d.0/024", n), fmt.Sprintf("192.168.%d.9/24", n),
			fmt.Sprintf("fd00:%x::/64", n), fmt.Sprintf("2001:DB8::%x", n), fmt.Sprintf("fd00:0:%x::1/48", n), fmt.Sprintf("10.3.%d.0 / 24", n),
			fmt.Sprintf("::ffff:10.8.%d.0/120", n), fmt.Sprintf("fd01:%x::192.0.2.1/%d", n, 33+n),
		}))
	}
	return strings.Join(list, pick(g, []string{",", ", ", " , "}))
}

// genLine is a line that a generated file may have.
type genLine struct {
	key   string
	right []string
	// odd is what oddities are made of.
	odd []string
	// often is how many more there may be in a section.
	often int
	// always is set if a section is nothing without it.
	always bool
}

const aKey = "oK56DE9Ue9zK76rAc8pBl6opph+1v36lm7cXXsQKrQM="

var oddKeys = []string{"", "x", aKey[:43], aKey + "=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", aKey[:42] + "N=",
	strings.Replace(aKey, "+", "-", 1), aKey[:20] + " " + aKey[20:], strings.Repeat("=", 44), aKey[:43] + "A", "off"}

var interfaceLines = []genLine{
	{key: "PrivateKey", odd: oddKeys},
	{key: "ListenPort", right: []string{"51820", "1", "65535", "0", "domain", "051820", "5 1 8 2 0"},
		odd: []string{"", "65536", "70000", "-1", "+5", "0x10", "nosuchservice", "DOMAIN", "1.5", "51820,", "ntp"}},
	{key: "FwMark", right: []string{"51820", "0xca6c", "off", "OFF", "0", "0xFFFFFFFF", "010", "0x0", "4294967295"},
		odd: []string{"", "0x", "0X10", "0x100000000", "4294967296", "-1", "+1", "on", "0x1g", "0x0x1", "1_0", "0b1"}},
	{key: "Address", often: 2, right: []string{"10.0.0.1/24", "10.0.0.2", "fd00::1/64, 10.0.0.3/32", "10.0.0.4/8,fd00::2", "10.0.0.5/24 10.0.0.6/24,", "", ","},
		odd: []string{"10.1", "10.0.0.1/255.255.255.0", "0.0.0.0/0", "10.0.0.1/33", "x", "fe80::1%eth0", "::ffff:10.0.0.1/128", "224.0.0.1"}},
	{key: "DNS", often: 1, right: []string{"1.1.1.1", "1.1.1.1, 9.9.9.9", "2606:4700::1,corp.example", "corp.example", "9.9.9.9 lan", "", "~.,1.0.0.1"},
		odd: []string{"300.1.1.1", "1.1", "a:b", "a..b", "$(x)"}},
	{key: "MTU", right: []string{"1420", "1280", "9000", "", "01400"}, odd: []string{"x", "0", "70000", "-1", "0x500", "14 20"}},
	{key: "Table", right: []string{"off", "auto", "1234", "0x10", "main", ""}, odd: []string{"OFF", "0", "x", "-1", "4294967296", "0b1"}},
	{key: "PreUp", right: []string{"echo pre", "true"}, odd: []string{""}, often: 1},
	{key: "PostUp", right: []string{"iptables -A FORWARD -i %i -j ACCEPT; echo a=b", "x && y"}, odd: []string{""}, often: 2},
	{key: "PreDown", right: []string{"echo 'a  b'"}, odd: []string{""}},
	{key: "PostDown", right: []string{`echo "\n" \`}, odd: []string{""}},
	{key: "SaveConfig", right: []string{"true", "false", "TRUE", "False"}, odd: []string{"", "yes", "1"}},
}

var peerLines = []genLine{
	{key: "PublicKey", always: true},
	{key: "PresharedKey", odd: oddKeys},
	{key: "AllowedIPs", often: 2, odd: []string{"", "10.0.0.0/8,", ",10.0.0.0/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/x", "10.0/16", "010.0.0.0/8",
		"+10.0.0.0/8", "-10.0.0.0/8", "fe80::1%lo/64", "10.0.0.0/8/8", "1:2:3:4:5:6:7::/128", "::1:2:3:4:5:6:7:8", "10.0.0.0 8", "10.0.0.0/+8", "12345::/16", "::1.2.3.04/128",
		"0.0.0.0/0", "::/0", "10.0.0.0/8, 10.0.0.0/8", "00001::/16", ":1::/16", "1:2:3:4:5:6:7:8::/16"}},
	{key: "Endpoint", right: []string{"192.0.2.1:51820", "[2001:db8::1]:51820", "localhost:51820", "[::1]:domain", "2001:db8::2:51820", "[192.0.2.2]:1", "192.0.2.3:00080", "[::ffff:192.0.2.4]:9", "[fe80::1%lo]:51820", "[localhost]:1"},
		odd: []string{"", "192.0.2.1", "192.0.2.1:", ":51820", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "[::1:51820", "[::1]51820", "[::1]", "10.1:51820", "0x7f000001:1", "local host:7", "[]:1", "192.0.2.1:-1"}},
	{key: "PersistentKeepalive", right: []string{"25", "off", "0", "65535", "Off", "025"}, odd: []string{"", "65536", "-1", "+1", "0x19", "25s", "on", "1 5"}},
}

// strange are whole lines.
var strange = []string{"; a comment", ";", "Address", "= x", "key", "[Peer", "[Interface]", "[ Peer ]", "[Inter face]", "[Peers]", "[]",
	"Jc = 4", "M T U = 1400", "Listen Port = 7", "Address = 10.7.7.7/24", "PublicKey = " + aKey,
	"Private Key = " + aKey, "PrivateKey " + aKey, aKey, "\v\f", "SaveConfig", "MTU=1400", "MTU = 1400 = 1", "DNS: 1.1.1.1", "[Interface] x", "[Peer]=", "Endpoint = 192.0.2.9:9",
	"Private\u212aey = " + aKey, "DNS = a\rb", "\r[Peer]\r", "PostUp", "Address = 10.8.8.8/24#\r", "ListenPort = 1\f2\v3", "=", "#", "[ # ]", "Table\r= off", "AllowedIPs=10.4.4.4/32\t,10.4.4.5"}
