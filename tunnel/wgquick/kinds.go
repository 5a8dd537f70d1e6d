package wgquick

import "strings"

// kind is what a key is for.
type kind struct {
	name    string
	section section
	// often is set if there may be many in a section.
	often bool
	// quick is set if wg-quick reads the key, and not wg.
	quick bool
	read  func(*parser, setting)
}

var kinds = []kind{
	{name: "PrivateKey", section: interfaceSection, read: (*parser).privateKey},
	{name: "ListenPort", section: interfaceSection, read: (*parser).listenPort},
	{name: "FwMark", section: interfaceSection, read: (*parser).fwMark},
	{name: "Address", section: interfaceSection, often: true, quick: true, read: (*parser).address},
	{name: "DNS", section: interfaceSection, often: true, quick: true, read: (*parser).dns},
	{name: "MTU", section: interfaceSection, quick: true, read: (*parser).mtu},
	{name: "Table", section: interfaceSection, quick: true, read: (*parser).table},
	{name: "PreUp", section: interfaceSection, often: true, quick: true, read: (*parser).hook},
	{name: "PostUp", section: interfaceSection, often: true, quick: true, read: (*parser).hook},
	{name: "PreDown", section: interfaceSection, often: true, quick: true, read: (*parser).hook},
	{name: "PostDown", section: interfaceSection, often: true, quick: true, read: (*parser).hook},
	{name: "SaveConfig", section: interfaceSection, quick: true, read: (*parser).saveConfig},
	{name: "PublicKey", section: peerSection, read: (*parser).publicKey},
	{name: "PresharedKey", section: peerSection, read: (*parser).presharedKey},
	{name: "AllowedIPs", section: peerSection, often: true, read: (*parser).allowedIPs},
	{name: "Endpoint", section: peerSection, read: (*parser).endpoint},
	{name: "PersistentKeepalive", section: peerSection, read: (*parser).keepalive},
}

var kindByName = func() map[string]kind {
	named := make(map[string]kind, len(kinds))
	for _, k := range kinds {
		named[lower(k.name)] = k
	}
	return named
}()

// kindOf returns the kind of a key. wg passes over spaces inside of its keys,
// wg-quick does not.
func kindOf(key string) (kind, bool) {
	if k, ok := kindByName[lower(key)]; ok {
		return k, true
	}
	k, ok := kindByName[lower(withoutSpaces(key))]
	return k, ok && !k.quick
}

// unknown refuses a line whose key nobody knows. It shows the key only if that
// cannot be part of a secret, such as one whose key was lost.
func (p *parser) unknown(l line) {
	s, _ := settingOf(l)
	if s.value == "" || !isWord(s.key) {
		p.refuse(l.start(), "", "a key that neither wg nor wg-quick knows")
		return
	}
	hint := ""
	if k, ok := nearest(s.key); ok {
		hint = "did you mean " + k.name + "?"
	}
	p.refuse(l.start(), hint, "%s: a key that neither wg nor wg-quick knows", s.key)
}

// misplaced refuses a key that belongs to the other section.
func (p *parser) misplaced(s setting, right section) {
	name := map[section]string{interfaceSection: "[Interface]", peerSection: "[Peer]"}[right]
	p.refuse(s.atKey(), "", "%s belongs to %s", s.key, name)
}

// isWord reports whether a key is letters, and not so many that it could be
// the beginning of a WireGuard key.
func isWord(key string) bool {
	return key != "" && len(key) <= 24 && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r)
	})
}

// nearest returns the kind whose name differs from a key by the fewest letters,
// if these are at most 2.
func nearest(key string) (best kind, ok bool) {
	least := 3
	for _, k := range kinds {
		if d := distance(lower(key), lower(k.name)); d < least {
			best, least = k, d
		}
	}
	return best, least < 3
}

// distance returns how many letters must be put in, left out or changed to make
// b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
