// A program with an HTTP library of its own asks keyfob for the Authorization header, and for nothing else:
// cc with_libcurl.c $(pkg-config --cflags --libs keyfob libcurl)

#include <curl/curl.h>
#include <keyfob.h>
#include <stdio.h>
#include <string.h>

// Before each request: costs nothing while the token lives.
static struct curl_slist *authorization(keyfob_client *client, char *header, size_t size, keyfob_error *error) {
    size_t len;
    int prefix = snprintf(header, size, "Authorization: ");
    if (keyfob_authorization(client, 60, header + prefix, size - (size_t)prefix, &len, error) != KEYFOB_OK) {
        return NULL;
    }
    struct curl_slist *headers = curl_slist_append(NULL, header);
    memset(header, 0, size);
    return headers;
}

int main(void) {
    keyfob_client *client;
    keyfob_error error;
    char url[1024], header[8192];
    size_t len;
    long status = 0;

    if (keyfob_spatiafi_from_env(NULL, &client, &error) || keyfob_api_url(client, url, sizeof url, &len, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    snprintf(url + len, sizeof url - len, "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0");

    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    // Twice, in case the first token is refused.
    for (int attempt = 0; attempt < 2 && (attempt == 0 || status == 401); attempt++) {
        struct curl_slist *headers = authorization(client, header, sizeof header, &error);
        if (headers == NULL) {
            fprintf(stderr, "%s\n", error.message);
            return 1;
        }
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        CURLcode result = curl_easy_perform(curl);
        curl_slist_free_all(headers);
        if (result != CURLE_OK) {
            fprintf(stderr, "%s\n", curl_easy_strerror(result));
            return 1;
        }
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (status == 401) {
            keyfob_invalidate(client, NULL, 0, NULL);
        }
    }
    curl_easy_cleanup(curl);
    keyfob_client_free(client);
    return status == 200 ? 0 : 1;
}
