package bundle

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// anonymizer replaces what is found in texts. It is asked twice: while it learns, it
// notes what there is and changes nothing.
type anonymizer struct {
	addresses addressMap
	learns    bool
	found     map[string]netip.Prefix // addresses and prefixes, as they stand there
	names     map[string]string       // what stands for a name, by it
	order     []string                // names, as they were found
	byFirst   map[byte][]string       // names by their first byte, the longest first
}

func newAnonymizer() *anonymizer {
	return &anonymizer{learns: true, found: make(map[string]netip.Prefix), names: make(map[string]string)}
}

// tries is how many secrets are tried for one with which no replacement is something that
// is replaced. Where there are very many addresses in a narrow net there may be none.
const tries = 32

// decide ends learning. It returns how many addresses or prefixes stand for another one
// that was found, or for what another one stands for; 0, if it can be.
func (a *anonymizer) decide() (collisions int) {
	a.learns = false
	best := a.addresses
	for i := range tries {
		_, _ = rand.Read(a.addresses.secret[:]) // it does not fail
		if n := a.collisions(); i == 0 || n < collisions {
			best, collisions = a.addresses, n
		}
		if collisions == 0 {
			break
		}
	}
	a.addresses = best
	a.nameAll()
	return collisions
}

func (a *anonymizer) collisions() (n int) {
	taken := make(map[string]bool)
	for text, p := range a.found {
		if a.addresses.isWide(p) {
			continue
		}
		image := a.prefixText(text, p)
		if _, is := a.found[image]; is || taken[image] {
			n++
		}
		taken[image] = true
	}
	return n
}

// learn notes a name.
func (a *anonymizer) learn(name string) {
	if _, known := a.names[name]; !known && name != "" && name != "lo" {
		a.names[name] = ""
		a.order = append(a.order, name)
	}
}

// nameAll decides what stands for names. No replacement is a name itself.
func (a *anonymizer) nameAll() {
	a.byFirst = make(map[byte][]string)
	n := 0
	for _, name := range a.order {
		for {
			n++
			with := fmt.Sprintf(shapeOf(name), n)
			if _, taken := a.names[with]; !taken {
				a.names[name] = with
				break
			}
		}
		at := a.byFirst[name[0]]
		i := 0
		for i < len(at) && len(at[i]) >= len(name) {
			i++
		}
		a.byFirst[name[0]] = append(at[:i:i], append([]string{name}, at[i:]...)...)
	}
}

// shapeOf returns the form of what stands for a name: it says what kind of name it was.
func shapeOf(name string) string {
	switch {
	case strings.Contains(name, "/"):
		return "/path-%d"
	case hostName.FindString(name) == name && !isFileName(name):
		return "host-%d.example"
	}
	return "name-%d"
}

// name returns what stands for a whole name. What looks like an address or a key is one.
func (a *anonymizer) name(text string) string {
	if n, _ := a.keyAt(text, 0); n > 0 || isAddress(text) {
		return a.text(text)
	}
	if a.learns {
		a.learn(text)
		return text
	}
	if with, known := a.names[text]; known && text != "" {
		return with
	}
	return a.text(text)
}

var (
	hostName = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}\.?`)
	path     = regexp.MustCompile(`^(?:/[A-Za-z0-9_.@+~-]+){2,}`)
	fileName = regexp.MustCompile(`\.(?:conf|go|hujson|json|jsonl|md|service|sock|txt)$`)
)

// isFileName reports whether what looks like a host's name is that of a file.
func isFileName(text string) bool { return fileName.MatchString(text) }

// system are where paths are the same on all hosts.
var system = []string{"/dev/", "/proc/sys/", "/sys/"}

// text returns text with all that is found in it replaced. What is found begins where no
// word goes on, and ends where none does.
func (a *anonymizer) text(in string) string {
	var out strings.Builder
	for i := 0; i < len(in); {
		if i == 0 || !isWord(in[i-1]) {
			if n, with := a.at(in, i); n > 0 {
				out.WriteString(with)
				i += n
				continue
			}
		}
		out.WriteByte(in[i])
		i++
	}
	return out.String()
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

// ends reports whether what is in text up to i is not followed by the rest of a word.
func ends(text string, i int) bool { return i >= len(text) || !isWord(text[i]) }

// at returns how long what begins at i is, and what stands for it, or 0.
func (a *anonymizer) at(in string, i int) (n int, with string) {
	rest := in[i:]
	if n, with := a.keyAt(in, i); n > 0 {
		return n, with
	}
	if n, with := a.addressAt(rest); n > 0 {
		return n, with
	}
	known := a.knownAt(rest)
	host := hostAt(rest)
	file := ""
	if i == 0 || strings.IndexByte(` "'(=:<,`, in[i-1]) >= 0 {
		file = pathAt(rest)
	}
	longest := max(len(known), len(host), len(file))
	if longest == 0 {
		return 0, ""
	}
	return longest, a.newName(rest[:longest])
}

// newName returns what stands for a name that may not be known. That of one which
// nobody learned is of the text alone.
func (a *anonymizer) newName(name string) string {
	if a.learns {
		a.learn(name)
		return name
	}
	if with, known := a.names[name]; known {
		return with
	}
	return "name-" + hex.EncodeToString(a.digest(name)[:6])
}

func (a *anonymizer) digest(text string) []byte {
	h := hmac.New(sha256.New, a.addresses.secret[:])
	_, _ = h.Write([]byte(text)) // it does not fail
	return h.Sum(nil)
}

// keyAt returns the public key at i.
func (a *anonymizer) keyAt(in string, i int) (n int, with string) {
	const length = 44
	if i+length > len(in) || in[i+length-1] != '=' {
		return 0, ""
	}
	text := in[i : i+length]
	if raw, err := base64.StdEncoding.DecodeString(text); err != nil || len(raw) != 32 {
		return 0, ""
	}
	return length, a.key(text)
}

// key returns what stands for a key: another one.
func (a *anonymizer) key(text string) string {
	return base64.StdEncoding.EncodeToString(a.digest(text))
}

// addressAt returns the address, or the prefix, at the beginning of text.
func (a *anonymizer) addressAt(text string) (n int, with string) {
	n = 0
	for n < len(text) && strings.IndexByte("0123456789abcdefABCDEF:.", text[n]) >= 0 {
		n++
	}
	for n = min(n, 45); n >= 2; n-- { // INET6_ADDRSTRLEN less its end
		if addr, err := netip.ParseAddr(text[:n]); err == nil && ends(text, n) {
			return a.addressOf(text, n, addr)
		}
	}
	return 0, ""
}

// addressOf returns how long the address is that takes n bytes, or the prefix of it.
func (a *anonymizer) addressOf(text string, n int, addr netip.Addr) (length int, with string) {
	if n < len(text) && text[n] == '/' {
		m := n + 1
		for m < len(text) && text[m] >= '0' && text[m] <= '9' {
			m++
		}
		if p, err := netip.ParsePrefix(text[:m]); err == nil && ends(text, m) {
			return m, a.prefixText(text[:m], p)
		}
	}
	length = n
	if n < len(text) && text[n] == '%' { // RFC 4007 §11: the zone is left out
		for length++; length < len(text) && (isWord(text[length]) || text[length] == '.' || text[length] == '-'); {
			length++
		}
	}
	return length, a.prefixText(text[:n], netip.PrefixFrom(addr, addr.BitLen()))
}

// prefixText returns what stands for a prefix, or for an address of which p is all.
func (a *anonymizer) prefixText(text string, p netip.Prefix) string {
	if a.learns {
		a.found[text] = p
		return text
	}
	if !strings.Contains(text, "/") {
		return a.addresses.addr(p.Addr()).String()
	}
	return a.addresses.prefix(p).String()
}

// knownAt returns the longest known name at the beginning of text, or "".
func (a *anonymizer) knownAt(text string) string {
	for _, name := range a.byFirst[text[0]] {
		if strings.HasPrefix(text, name) && (!isWord(name[len(name)-1]) || ends(text, len(name))) {
			return name
		}
	}
	return ""
}

// hostAt returns the name in the DNS at the beginning of text, or "".
func hostAt(text string) string {
	name := strings.TrimSuffix(hostName.FindString(text), ".")
	if !ends(text, len(name)) || isFileName(name) {
		return ""
	}
	return name
}

// pathAt returns the absolute path at the beginning of text, or "", if it may tell of
// somebody.
func pathAt(text string) string {
	for _, s := range system {
		if strings.HasPrefix(text, s) {
			return ""
		}
	}
	return strings.TrimRight(path.FindString(text), ".")
}
