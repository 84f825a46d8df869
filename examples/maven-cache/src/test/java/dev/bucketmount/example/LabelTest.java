package dev.bucketmount.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.junit.jupiter.api.Test;

class LabelTest {
  @Test
  void printsUpperCaseWithoutDoubledSpaces() throws JsonProcessingException {
    Label label = Label.parse("{\"name\":\"Ada  Lovelace\",\"street\":\"12 St James's Square\",\"city\":\"London\"}");
    assertEquals("ADA LOVELACE\n12 ST JAMES'S SQUARE\nLONDON", label.print());
  }

  @Test
  void shortensLongLines() {
    assertEquals(35, new Label("x".repeat(60), "", "").print().lines().findFirst().orElseThrow().length());
  }

  @Test
  void refusesWhatIsNoJson() {
    assertThrows(JsonProcessingException.class, () -> Label.parse("name: Ada"));
  }
}
