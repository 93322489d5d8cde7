import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * What the platform asks of a cluster: a JSON object on standard input, "do" says what; the answer is one on standard output.
 *
 * <p>Runs in a node's container, as the node. What the cluster will not do, however often it is asked, is answered as "refused"; all else that
 * fails ends with exit code 1 and the reason on standard error. Everything can be asked again.
 */
public final class KafkaAdmin {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Path PROPERTIES = Path.of("/run/kafka/server.properties");
  private static final String COUNTERS = "service:jmx:rmi:///jndi/rmi://127.0.0.1:9999/jmxrmi";
  private static final String TIMEOUT_MS = "15000";
  private static final long READY_MS = 45_000;
  private static final long LOOK_MS = 200;
  private static final long SECONDS = 60;
  private static final Set<Class<?>> REFUSALS =
      Set.of(
          GroupNotEmptyException.class,
          InvalidConfigurationException.class,
          InvalidPartitionsException.class,
          InvalidReplicationFactorException.class,
          InvalidRequestException.class,
          InvalidTopicException.class,
          TopicExistsException.class,
          UnknownTopicOrPartitionException.class);
  private static final List<AclOperation> ON_TOPICS =
      List.of(AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS);
  private static final List<AclOperation> ON_GROUPS = List.of(AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DELETE);
  private static final List<AclOperation> ON_TRANSACTIONS = List.of(AclOperation.WRITE, AclOperation.DESCRIBE);
  private static final List<String> RATES = List.of("BytesInPerSec", "BytesOutPerSec", "MessagesInPerSec");

  private final Admin admin;

  private KafkaAdmin(Admin admin) {
    this.admin = admin;
  }

  /** "ready" may be asked by words: ready BROKERS. */
  public static void main(String[] words) throws Exception {
    JsonNode asked =
        words.length > 0
            ? JSON.createObjectNode().put("do", words[0]).put("brokers", Integer.parseInt(words[1]))
            : JSON.readTree(System.in);
    try (Admin admin = Admin.create(settings())) {
      System.out.println(JSON.writeValueAsString(new KafkaAdmin(admin).answer(asked)));
    } catch (ExecutionException error) {
      Throwable cause = error.getCause();
      if (!REFUSALS.contains(cause.getClass())) {
        System.err.println(cause.getClass().getSimpleName() + ": " + cause.getMessage());
        System.exit(1);
      }
      ObjectNode refused = JSON.createObjectNode();
      refused.put("refused", cause.getClass().getSimpleName().replace("Exception", "")).put("message", cause.getMessage());
      System.out.println(JSON.writeValueAsString(refused));
    }
  }

  /** As the node talks to the others: by its certificate, at the address that it tells everybody. */
  private static Properties settings() throws Exception {
    Properties server = new Properties();
    try (Reader reader = Files.newBufferedReader(PROPERTIES)) {
      server.load(reader);
    }
    Properties found = new Properties();
    for (String name : List.of("ssl.keystore.type", "ssl.keystore.location", "ssl.truststore.type", "ssl.truststore.location")) {
      found.put(name, server.getProperty(name));
    }
    found.put("security.protocol", "SSL");
    found.put("bootstrap.servers", server.getProperty("advertised.listeners").replace("BROKER://", ""));
    found.put("request.timeout.ms", "5000");
    found.put("default.api.timeout.ms", TIMEOUT_MS);
    found.put("client.id", "platform");
    return found;
  }

  private ObjectNode answer(JsonNode asked) throws Exception {
    ObjectNode nothing = JSON.createObjectNode();
    switch (asked.path("do").asText()) {
      case "ready" -> ready(asked.get("brokers").asInt());
      case "describe" -> {
        return describe(asked.path("prefix").asText(), asked.path("everywhere").asBoolean());
      }
      case "rates" -> {
        return rates(asked.path("prefix").asText());
      }
      case "users" -> users(asked);
      case "wipe" -> wipe(asked);
      case "create_topic" -> createTopic(asked);
      case "alter_topic" -> alterTopic(asked);
      case "delete_topic" -> admin.deleteTopics(Set.of(asked.get("name").asText())).all().get();
      case "create_group" -> createGroup(asked.get("name").asText(), texts(asked.get("users")));
      case "delete_group" -> deleteGroup(asked.get("name").asText());
      default -> throw new IllegalArgumentException("do: " + asked.path("do").asText() + " is not known");
    }
    return nothing;
  }

  /** Until so many brokers are there, and every replica has what its leader has. */
  private void ready(int brokers) throws Exception {
    long until = System.currentTimeMillis() + READY_MS;
    while (!isReady(brokers)) {
      if (System.currentTimeMillis() > until) {
        System.err.println("fewer than " + brokers + " brokers are there, or one of them is behind");
        System.exit(1);
      }
      Thread.sleep(LOOK_MS);
    }
  }

  private boolean isReady(int brokers) throws Exception {
    if (admin.describeCluster().nodes().get().size() < brokers) {
      return false;
    }
    Set<String> names = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
    return admin.describeTopics(names).allTopicNames().get().values().stream()
        .flatMap(topic -> topic.partitions().stream())
        .allMatch(partition -> partition.leader() != null && partition.isr().size() == partition.replicas().size());
  }

  /** "everywhere": some nodes' counters are out of reach, and what comes is counted without them. */
  private ObjectNode describe(String prefix, boolean everywhere) throws Exception {
    Collection<Node> nodes = admin.describeCluster().nodes().get();
    Map<TopicPartition, List<Long>> sizes = sizes(nodes, prefix);
    Set<String> names =
        admin.listTopics().names().get().stream().filter(name -> name.startsWith(prefix)).collect(Collectors.toCollection(TreeSet::new));
    Map<String, TopicDescription> topics = new TreeMap<>(admin.describeTopics(names).allTopicNames().get());
    Map<ConfigResource, Config> configs = admin.describeConfigs(names.stream().map(KafkaAdmin::topic).toList()).all().get();
    ObjectNode found = JSON.createObjectNode();
    found.put("version", AppInfoParser.getVersion()).put("brokers", nodes.size()).put("bytes", sizes.values().stream().flatMap(List::stream).mapToLong(Long::longValue).sum());
    ArrayNode shown = found.putArray("topics");
    for (TopicDescription each : topics.values()) {
      ObjectNode one = shown.addObject().put("name", each.name()).put("partitions", each.partitions().size());
      one.put("replication_factor", each.partitions().stream().mapToInt(part -> part.replicas().size()).max().orElse(0));
      one.put("replicas", each.partitions().stream().mapToInt(part -> part.replicas().size()).sum());
      Config config = configs.get(topic(each.name()));
      one.put("cleanup_policy", config.get("cleanup.policy").value());
      one.put("retention_ms", Long.parseLong(config.get("retention.ms").value()));
    }
    ArrayNode groups = found.putArray("groups");
    Set<String> all = groupsOf(prefix);
    for (GroupListing each : admin.listGroups().all().get()) {
      if (each.groupId().startsWith(prefix)) {
        all.add(each.groupId());
      }
    }
    all.forEach(groups::add);
    ObjectNode rates = rates(prefix);
    if (everywhere) {
      arrived(topics.values(), sizes, rates);
    }
    found.set("rates", rates);
    return found;
  }

  /** Of each partition below a prefix, how large its replicas are. */
  private Map<TopicPartition, List<Long>> sizes(Collection<Node> nodes, String prefix) throws Exception {
    Map<TopicPartition, List<Long>> found = new HashMap<>();
    List<Integer> ids = nodes.stream().map(Node::id).toList();
    for (Map<String, LogDirDescription> dirs : admin.describeLogDirs(ids).allDescriptions().get().values()) {
      for (LogDirDescription dir : dirs.values()) {
        for (Map.Entry<TopicPartition, ReplicaInfo> each : dir.replicaInfos().entrySet()) {
          if (each.getKey().topic().startsWith(prefix)) {
            found.computeIfAbsent(each.getKey(), key -> new ArrayList<>()).add(each.getValue().size());
          }
        }
      }
    }
    return found;
  }

  /** Of all nodes, by offsets: what came a second, over the last minute. Bytes go by how large a partition's messages are. */
  private void arrived(Collection<TopicDescription> topics, Map<TopicPartition, List<Long>> sizes, ObjectNode rates)
      throws Exception {
    List<TopicPartition> led = new ArrayList<>();
    for (TopicDescription topic : topics) {
      for (TopicPartitionInfo each : topic.partitions()) {
        if (each.leader() != null && !each.leader().isEmpty()) {
          led.add(new TopicPartition(topic.name(), each.partition()));
        }
      }
    }
    Map<TopicPartition, Long> ends = offsets(led, OffsetSpec.latest());
    Map<TopicPartition, Long> starts = offsets(led, OffsetSpec.earliest());
    Map<TopicPartition, Long> before = offsets(led, OffsetSpec.forTimestamp(System.currentTimeMillis() - 1000 * SECONDS));
    Map<String, double[]> sums = new TreeMap<>();
    for (TopicPartition each : led) {
      long end = ends.get(each);
      // Where nothing came since then, there is no such offset.
      double messages = before.get(each) < 0 ? 0 : (double) Math.max(end - before.get(each), 0) / SECONDS;
      long size = sizes.getOrDefault(each, List.of()).stream().mapToLong(Long::longValue).max().orElse(0);
      double[] sum = sums.computeIfAbsent(each.topic(), name -> new double[2]);
      sum[0] += messages;
      sum[1] += messages * size / Math.max(end - starts.get(each), 1);
    }
    sums.forEach((topic, sum) -> rates.withObjectProperty(topic).put("MessagesInPerSec", sum[0]).put("BytesInPerSec", sum[1]));
  }

  private Map<TopicPartition, Long> offsets(List<TopicPartition> partitions, OffsetSpec which) throws Exception {
    Map<TopicPartition, OffsetSpec> asked = partitions.stream().collect(Collectors.toMap(each -> each, each -> which));
    Map<TopicPartition, Long> found = new HashMap<>();
    admin.listOffsets(asked).all().get().forEach((each, told) -> found.put(each, told.offset()));
    return found;
  }

  /** Of this node: topic → what came and went a second, over the last minute. */
  private static ObjectNode rates(String prefix) throws Exception {
    ObjectNode found = JSON.createObjectNode();
    try (JMXConnector connector = JMXConnectorFactory.connect(new JMXServiceURL(COUNTERS))) {
      MBeanServerConnection counters = connector.getMBeanServerConnection();
      for (String rate : RATES) {
        ObjectName all = new ObjectName("kafka.server:type=BrokerTopicMetrics,name=" + rate + ",topic=*");
        for (ObjectName each : counters.queryNames(all, null)) {
          String topic = each.getKeyProperty("topic");
          if (topic.startsWith(prefix)) {
            ObjectNode one = found.has(topic) ? (ObjectNode) found.get(topic) : found.putObject(topic);
            one.put(rate, (Double) counters.getAttribute(each, "OneMinuteRate"));
          }
        }
      }
    }
    return found;
  }

  /** Give users what a tenant may do, and its quotas; take all of it from those who are gone. */
  private void users(JsonNode asked) throws Exception {
    String prefix = asked.path("prefix").asText();
    PatternType pattern = prefix.isEmpty() ? PatternType.LITERAL : PatternType.PREFIXED;
    String name = prefix.isEmpty() ? ResourcePattern.WILDCARD_RESOURCE : prefix;
    Set<String> groups = prefix.isEmpty() ? Set.of(name) : groupsOf(prefix);
    List<AclBinding> wanted = new ArrayList<>();
    for (String user : texts(asked.get("users"))) {
      wanted.addAll(rights(user, new ResourcePattern(ResourceType.TOPIC, name, pattern), ON_TOPICS));
      wanted.addAll(rights(user, new ResourcePattern(ResourceType.TRANSACTIONAL_ID, name, pattern), ON_TRANSACTIONS));
      for (String group : groups) {
        wanted.addAll(rights(user, new ResourcePattern(ResourceType.GROUP, group, PatternType.LITERAL), ON_GROUPS));
      }
    }
    List<ClientQuotaAlteration> quotas = new ArrayList<>();
    for (String user : texts(asked.get("users"))) {
      quotas.add(quota(user, asked.path("quotas")));
    }
    // The limits before the rights.
    admin.alterClientQuotas(quotas).all().get();
    admin.createAcls(wanted).all().get();
    forget(texts(asked.get("gone")));
  }

  private void forget(List<String> users) throws Exception {
    for (String user : users) {
      AccessControlEntryFilter all =
          new AccessControlEntryFilter("User:" + user, null, AclOperation.ANY, AclPermissionType.ANY);
      admin.deleteAcls(Set.of(new AclBindingFilter(ResourcePatternFilter.ANY, all))).all().get();
      admin.alterClientQuotas(Set.of(quota(user, JSON.createObjectNode()))).all().get();
    }
  }

  private static ClientQuotaAlteration quota(String user, JsonNode wanted) {
    List<ClientQuotaAlteration.Op> changes = new ArrayList<>();
    for (String key : List.of("producer_byte_rate", "consumer_byte_rate", "request_percentage")) {
      changes.add(new ClientQuotaAlteration.Op(key, wanted.has(key) ? (Double) wanted.get(key).asDouble() : null));
    }
    return new ClientQuotaAlteration(new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, user)), changes);
  }

  /** Take away all that a tenant has. */
  private void wipe(JsonNode asked) throws Exception {
    String prefix = asked.get("prefix").asText();
    if (prefix.isEmpty()) {
      throw new IllegalArgumentException("prefix: is empty");
    }
    forget(texts(asked.get("users")));
    List<String> topics = admin.listTopics().names().get().stream().filter(name -> name.startsWith(prefix)).toList();
    admin.deleteTopics(topics).all().get();
    for (GroupListing each : admin.listGroups().all().get()) {
      if (each.groupId().startsWith(prefix)) {
        deleteGroup(each.groupId());
      }
    }
  }

  private void createTopic(JsonNode asked) throws Exception {
    Optional<Integer> partitions = Optional.of(asked.get("partitions").asInt());
    Optional<Short> replicas = Optional.of((short) asked.get("replication_factor").asInt());
    admin.createTopics(Set.of(new NewTopic(asked.get("name").asText(), partitions, replicas).configs(config(asked)))).all().get();
  }

  private void alterTopic(JsonNode asked) throws Exception {
    String name = asked.get("name").asText();
    List<AlterConfigOp> changes =
        config(asked).entrySet().stream()
            .map(each -> new AlterConfigOp(new ConfigEntry(each.getKey(), each.getValue()), AlterConfigOp.OpType.SET))
            .toList();
    admin.incrementalAlterConfigs(Map.of(topic(name), changes)).all().get();
    if (asked.has("replication_factor")) {
      replicate(name, asked.get("replication_factor").asInt());
    }
  }

  /** Each partition keeps those that it has, and gets others after them. */
  private void replicate(String name, int wanted) throws Exception {
    List<Node> nodes = admin.describeCluster().nodes().get().stream().sorted(Comparator.comparingInt(Node::id)).toList();
    if (wanted > nodes.size()) {
      throw new ExecutionException(new InvalidReplicationFactorException("only " + nodes.size() + " brokers are there"));
    }
    Map<TopicPartition, Optional<NewPartitionReassignment>> moves = new TreeMap<>((a, b) -> a.partition() - b.partition());
    for (TopicPartitionInfo each : admin.describeTopics(Set.of(name)).allTopicNames().get().get(name).partitions()) {
      List<Node> replicas = new ArrayList<>(each.replicas());
      if (replicas.size() == wanted) {
        continue;
      }
      while (replicas.size() < wanted) {
        replicas.add(next(nodes, replicas, each.partition()));
      }
      List<Integer> kept = replicas.subList(0, wanted).stream().map(Node::id).toList();
      moves.put(new TopicPartition(name, each.partition()), Optional.of(new NewPartitionReassignment(kept)));
    }
    if (!moves.isEmpty()) {
      admin.alterPartitionReassignments(moves).all().get();
    }
  }

  /** Who gets one more replica of a partition: in turn, but of those where the fewest others are lost with it. */
  private static Node next(List<Node> nodes, List<Node> replicas, int partition) {
    Node found = null;
    long fewest = Long.MAX_VALUE;
    for (int index = 0; index < nodes.size(); index++) {
      Node node = nodes.get((partition + index) % nodes.size());
      long beside = replicas.stream().filter(each -> Objects.equals(each.rack(), node.rack())).count();
      if (beside < fewest && replicas.stream().noneMatch(each -> each.id() == node.id())) {
        found = node;
        fewest = beside;
      }
    }
    return found;
  }

  /** Let users have a group: of a tenant's, only those are there that were made so. */
  private void createGroup(String name, List<String> users) throws Exception {
    List<AclBinding> wanted = new ArrayList<>();
    for (String user : users) {
      wanted.addAll(rights(user, new ResourcePattern(ResourceType.GROUP, name, PatternType.LITERAL), ON_GROUPS));
    }
    admin.createAcls(wanted).all().get();
  }

  private void deleteGroup(String name) throws Exception {
    try {
      admin.deleteConsumerGroups(Set.of(name)).all().get();
    } catch (ExecutionException error) {
      if (!(error.getCause() instanceof GroupIdNotFoundException)) {
        throw error;
      }
    }
    ResourcePatternFilter group = new ResourcePatternFilter(ResourceType.GROUP, name, PatternType.LITERAL);
    admin.deleteAcls(Set.of(new AclBindingFilter(group, AccessControlEntryFilter.ANY))).all().get();
  }

  /** The groups below a prefix that somebody has rights on. */
  private Set<String> groupsOf(String prefix) throws Exception {
    ResourcePatternFilter groups = new ResourcePatternFilter(ResourceType.GROUP, null, PatternType.LITERAL);
    return admin.describeAcls(new AclBindingFilter(groups, AccessControlEntryFilter.ANY)).values().get().stream()
        .map(each -> each.pattern().name())
        .filter(name -> name.startsWith(prefix) && !name.equals(ResourcePattern.WILDCARD_RESOURCE))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static List<AclBinding> rights(String user, ResourcePattern on, List<AclOperation> what) {
    return what.stream()
        .map(each -> new AclBinding(on, new AccessControlEntry("User:" + user, "*", each, AclPermissionType.ALLOW)))
        .toList();
  }

  private static Map<String, String> config(JsonNode asked) {
    Map<String, String> found = new TreeMap<>();
    asked.path("config").properties().forEach(each -> found.put(each.getKey(), each.getValue().asText()));
    return found;
  }

  private static ConfigResource topic(String name) {
    return new ConfigResource(ConfigResource.Type.TOPIC, name);
  }

  private static List<String> texts(JsonNode list) {
    List<String> found = new ArrayList<>();
    if (list != null) {
      list.forEach(each -> found.add(each.asText()));
    }
    return found;
  }
}
