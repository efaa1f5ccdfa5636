// A Go client, driven: a line with a request comes in, a line with what was told goes out.
//
//	go-client elasticsearch|opensearch URL COMPRESS
//
// driven.py says what the lines are. A Go client raises nothing: told is the type of the error that
// it makes of an answer, or the method by which its answer says that it is one.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/opensearch-project/opensearch-go/v4"
)

const lineSize = 1 << 20

type client interface {
	Perform(*http.Request) (*http.Response, error)
}

func main() {
	name, compress := os.Args[1], os.Args[3] == "true"
	var made client
	var err error
	var failure func(*http.Response, []byte) any
	if addresses := []string{os.Args[2]}; name == "elasticsearch" {
		config := elasticsearch.Config{Addresses: addresses, CompressRequestBody: compress}
		made, err = elasticsearch.NewClient(config)
		failure = elasticsearchFailure
	} else {
		config := opensearch.Config{Addresses: addresses, CompressRequestBody: compress}
		made, err = opensearch.NewClient(config)
		failure = opensearchFailure
	}
	must(err)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineSize)
	for lines.Scan() {
		told, err := json.Marshal(ask(made, failure, lines.Bytes()))
		must(err)
		fmt.Println(string(told))
	}
	must(lines.Err())
}

func ask(made client, failure func(*http.Response, []byte) any, line []byte) []any {
	var method, path string
	var body json.RawMessage
	must(json.Unmarshal(line, &[]any{&method, &path, &body}))
	kind := "application/json"
	if bytes.HasPrefix(body, []byte("[")) {
		kind, body = "application/x-ndjson", ndjson(body)
	}
	var sent io.Reader
	if body != nil && string(body) != "null" {
		sent = bytes.NewReader(body)
	}
	request, err := http.NewRequest(method, path, sent)
	must(err)
	if sent != nil {
		request.Header.Set("Content-Type", kind)
	}
	response, err := made.Perform(request)
	must(err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	must(err)
	var answer any
	if json.Unmarshal(content, &answer) != nil {
		answer = string(content)
	}
	if failed := failure(response, content); failed != nil {
		return []any{failed, response.StatusCode, answer}
	}
	return []any{nil, nil, answer}
}

func elasticsearchFailure(response *http.Response, _ []byte) any {
	if (&esapi.Response{StatusCode: response.StatusCode}).IsError() {
		return "IsError"
	}
	return nil
}

func opensearchFailure(response *http.Response, content []byte) any {
	again := &opensearch.Response{
		StatusCode: response.StatusCode, Body: io.NopCloser(bytes.NewReader(content)),
	}
	if !again.IsError() {
		return nil
	}
	return fmt.Sprintf("%T", opensearch.ParseError(again))
}

func ndjson(list []byte) []byte {
	var lines []json.RawMessage
	must(json.Unmarshal(list, &lines))
	var text []byte
	for _, line := range lines {
		text = append(append(text, line...), '\n')
	}
	return text
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
