package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

var (
	listLine = regexp.MustCompile(`^(?:\w+\(\d+\) ?)?\[([\s\d,-]*)\][,;]?$`) // [192, 0], and Uint8Array(2) [ 192, 0 ]
	bitsLine = regexp.MustCompile(`^(?:0b[01]{8}[\s,]*)+$`)
	negative = regexp.MustCompile(`(?:^|[\s,])-\d`)
)

// betweenHex is what may stand between bytes.
const betweenHex = " \t,:;-[]\"'."

// numbersLine reads a line of numbers that are not all of two hex digits each: decimal, as Go, Python, JavaScript and Java
// print bytes; hex without zeros in front, as of an Arduino; or bits, such as 0b11000000. It does not take a line whose
// digits make whole bytes as hex, and refuses one that may be either.
func numbersLine(line string) (b []byte, taken bool, err error) {
	if bitsLine.MatchString(line) {
		b, err = numbers(strings.ReplaceAll(line, "0b", ""), 2)
		return b, true, err
	}
	list := listLine.FindStringSubmatch(line)
	if list != nil {
		line = list[1]
	}
	between := func(r rune) bool { return strings.ContainsRune(betweenHex, r) }
	words := strings.FieldsFunc(line, between)
	odd, long, letters := false, false, false
	for _, word := range words {
		odd = odd || len(word)%2 == 1
		long = long || len(word) > 2
		letters = letters || strings.ContainsAny(word, "abcdefABCDEF")
	}
	switch {
	case list != nil && (odd || negative.MatchString(line)):
		b, err = numbers(line, 10)
	case !odd || len(words) < 2 || strings.Trim(line, "0123456789abcdefABCDEF"+betweenHex) != "":
		return nil, false, nil
	case long && !letters:
		b, err = numbers(line, 10)
	case !long && letters:
		b, err = numbers(line, 16)
	default:
		err = errors.New("it may be decimal or hex: write all bytes with two hex digits, or decimal ones in [ and ]")
	}
	return b, true, err
}

// numbers reads bytes with spaces or the like between them. In decimal, -1 is the byte 255.
func numbers(line string, base int) (b []byte, err error) {
	separators := ", \t"
	if base == 16 {
		separators = betweenHex
	}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		n, err := strconv.ParseInt(word, base, 16)
		if err != nil || n < -128 || n > 255 {
			return nil, errors.New(strconv.Quote(shorten(word)) + " is not a byte")
		}
		b = append(b, byte(n))
	}
	return b, nil
}
