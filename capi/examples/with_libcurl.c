// A program with its own HTTP library asks keyfob for the headers of each request:
// cc with_libcurl.c $(pkg-config --cflags --libs keyfob libcurl)
//
// Usage: with_libcurl SERVICE PATH
//
// The service is built in, or described by config.toml. PATH is appended to the URL of its API.

#include <curl/curl.h>
#include <keyfob.h>
#include <stdio.h>
#include <string.h>

static void wipe(char *text, size_t len) {
    // A compiler may leave out a memset.
    for (volatile char *byte = text; len > 0; len--) {
        *byte++ = 0;
    }
}

// A keyfob_header_fn: appends a header to a list of libcurl.
static int append(const char *name, size_t name_len, const char *value, size_t value_len, void *list) {
    struct curl_slist **headers = list, *longer = NULL;
    char line[16384];
    int len = snprintf(line, sizeof line, "%.*s: %.*s", (int)name_len, name, (int)value_len, value);
    if (len > 0 && (size_t)len < sizeof line) {
        longer = curl_slist_append(*headers, line);
    }
    wipe(line, sizeof line);
    if (longer != NULL) {
        *headers = longer;
    }
    return longer == NULL;
}

static void free_headers(struct curl_slist *headers) {
    for (struct curl_slist *header = headers; header != NULL; header = header->next) {
        wipe(header->data, strlen(header->data));
    }
    curl_slist_free_all(headers);
}

// Prints the answer. Returns whether it was a success.
static int get(CURL *curl, keyfob_client *client, const char *url) {
    keyfob_error error;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    for (int attempt = 0;; attempt++) {
        struct curl_slist *headers = NULL;
        long status = 0;
        // Ask before each request. With a valid token, nothing is sent.
        if (keyfob_headers(client, 60, append, &headers, &error) != KEYFOB_OK) {
            free_headers(headers);
            fprintf(stderr, "%s: %s\n", keyfob_status_name(error.status), error.message);
            return 0;
        }
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        CURLcode result = curl_easy_perform(curl);
        free_headers(headers);
        if (result == CURLE_OK) {
            return 1;
        }
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        // If the first token was refused, try once more with a new one.
        if (status != 401 || attempt > 0 || keyfob_invalidate(client, NULL, 0, NULL) != KEYFOB_OK) {
            fprintf(stderr, "%s (HTTP status %ld)\n", curl_easy_strerror(result), status);
            return 0;
        }
    }
}

int main(int argc, char **argv) {
    keyfob_client *client;
    keyfob_error error;
    char url[4096];
    size_t len;
    int succeeded = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: %s SERVICE PATH\n", argv[0]);
        return 2;
    }
    if (keyfob_client_from_config(argv[1], strlen(argv[1]), NULL, &client, &error) != KEYFOB_OK) {
        fprintf(stderr, "%s: %s\n", keyfob_status_name(error.status), error.message);
        return 1;
    }
    if (keyfob_api_url(client, url, sizeof url, &len, &error) != KEYFOB_OK) {
        fprintf(stderr, "%s: %s\n", keyfob_status_name(error.status), error.message);
    } else if (strlen(argv[2]) >= sizeof url - len) {
        fprintf(stderr, "the path is too long\n");
    } else {
        memcpy(url + len, argv[2], strlen(argv[2]) + 1);
        CURL *curl = curl_easy_init();
        succeeded = curl != NULL && get(curl, client, url);
        curl_easy_cleanup(curl);
    }
    keyfob_client_free(client);
    return !succeeded;
}
