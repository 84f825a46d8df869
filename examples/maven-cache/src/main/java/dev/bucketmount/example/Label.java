package dev.bucketmount.example;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.commons.lang3.StringUtils;

/** What is printed on a parcel: upper case, at most 35 characters a line. */
public record Label(String name, String street, String city) {
  private static final int LINE = 35;
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Reads a label from the JSON that the shop sends. */
  public static Label parse(String json) throws JsonProcessingException {
    return JSON.readValue(json, Label.class);
  }

  /** The three lines to print. */
  public String print() {
    return String.join("\n", line(name), line(street), line(city));
  }

  private static String line(String text) {
    return StringUtils.abbreviate(StringUtils.normalizeSpace(text).toUpperCase(java.util.Locale.ROOT), LINE);
  }
}
